package event

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/signal"
)

// Limits of topics. A topic is a kind of thing that happens, of which a business has dozens; thousands are a sender that puts an id into the name.
const (
	// MaxTopics bounds the topics of a namespace, and maxAllTopics those of all.
	MaxTopics    = 256
	maxAllTopics = 4096
	// MaxTopicFields bounds the different fields of a topic over its life.
	MaxTopicFields = 128
)

// Topic is what is known of a topic.
type Topic struct {
	Namespace, Name string
	// Fields are the types by name: string, bool, int or double.
	Fields map[string]signal.ValueType
	// First and Last are when its events arrived, and Events counts those, since the topic is known to this node. They are lost and begin anew when
	// the node is killed, to the last time they were written.
	First, Last time.Time
	Events      uint64
}

func (t *Topic) clone() Topic {
	c := *t
	c.Fields = maps.Clone(t.Fields)
	return c
}

type topicKey struct{ namespace, name string }

// topics are typed by use. The room's lock guards them.
type topics struct {
	path  string
	known map[topicKey]*Topic
	per   map[string]int // topics by namespace
	// changed: a type is new since the file was written.
	changed bool
}

// admit gives an event's fields the types of its topic, and learns new ones. It changes nothing when it refuses.
func (t *topics) admit(namespace string, e *Event, now time.Time) *fault.Error {
	key := topicKey{namespace, e.Topic}
	topic := t.known[key]
	if topic == nil {
		if t.per[namespace] >= MaxTopics || len(t.known) >= maxAllTopics {
			return fault.New(fault.Exhausted, "event.too_many_topics", "the topic %q is new, and there are %d topics in %q already", e.Topic, t.per[namespace], namespace).
				At("topic").Hinted("at most %d; a name of a topic holds no ids: put them into a field", MaxTopics)
		}
		topic = &Topic{Namespace: namespace, Name: e.Topic, Fields: map[string]signal.ValueType{}, First: now}
	}
	learned := map[string]signal.ValueType{}
	for i := range e.Fields {
		field := &e.Fields[i]
		have, known := topic.Fields[field.Key]
		switch got := field.Value.Type; {
		case !known && len(topic.Fields)+len(learned) >= MaxTopicFields:
			return fault.New(fault.Exhausted, "event.too_many_topic_fields", "the field is new, and the topic %q has %d fields already", e.Topic, len(topic.Fields)).
				At("fields."+field.Key).Hinted("at most %d; a name of a field holds no ids", MaxTopicFields)
		case !known || have == signal.TypeInt && got == signal.TypeDouble:
			learned[field.Key] = got
		case have == signal.TypeDouble && got == signal.TypeInt:
			field.Value = Double(float64(int64(field.Value.Number)))
		case have != got:
			return fault.New(fault.Invalid, "event.field_type", "it is of type %s, and the topic %q has it as %s", TypeName(got), e.Topic, TypeName(have)).
				At("fields."+field.Key).Hinted("send it as %s, or under another name", TypeName(have))
		}
	}
	if t.known[key] == nil {
		t.known[key] = topic
		t.per[namespace]++
		t.changed = true
	}
	if len(learned) > 0 {
		maps.Copy(topic.Fields, learned)
		t.changed = true
	}
	topic.Last = now
	topic.Events++
	return nil
}

// TypeName is the word for a type of a field: string, bool, int or double.
func TypeName(t signal.ValueType) string {
	switch t {
	case signal.TypeBool:
		return "bool"
	case signal.TypeInt:
		return "int"
	case signal.TypeDouble:
		return "double"
	default:
		return "string"
	}
}

// ParseType reads a word of [TypeName].
func ParseType(name string) (signal.ValueType, bool) {
	for _, t := range []signal.ValueType{signal.TypeString, signal.TypeBool, signal.TypeInt, signal.TypeDouble} {
		if TypeName(t) == name {
			return t, true
		}
	}
	return 0, false
}

// list is a namespace's topics, sorted.
func (t *topics) list(namespace string) []Topic {
	var all []Topic
	for key, topic := range t.known {
		if key.namespace == namespace {
			all = append(all, topic.clone())
		}
	}
	slices.SortFunc(all, func(a, b Topic) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// forget drops topics whose events are all gone by age.
func (t *topics) forget(before time.Time) {
	for key, topic := range t.known {
		if topic.Last.Before(before) {
			delete(t.known, key)
			if t.per[key.namespace]--; t.per[key.namespace] <= 0 {
				delete(t.per, key.namespace)
			}
			t.changed = true
		}
	}
}

// topicRecord is a topic in topics.json.
type topicRecord struct {
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	Fields    map[string]string `json:"fields,omitempty"`
	First     time.Time         `json:"first"`
	Last      time.Time         `json:"last"`
	Events    uint64            `json:"events"`
}

// save writes the file when something is new, or always.
func (t *topics) save(always bool) error {
	if !t.changed && !always {
		return nil
	}
	records := make([]topicRecord, 0, len(t.known))
	for _, topic := range t.known {
		r := topicRecord{Namespace: topic.Namespace, Name: topic.Name, First: topic.First.UTC(), Last: topic.Last.UTC(), Events: topic.Events, Fields: map[string]string{}}
		for name, kind := range topic.Fields {
			r.Fields[name] = TypeName(kind)
		}
		records = append(records, r)
	}
	slices.SortFunc(records, func(a, b topicRecord) int {
		return strings.Compare(a.Namespace+"\x00"+a.Name, b.Namespace+"\x00"+b.Name)
	})
	data, err := json.Marshal(records)
	if err != nil {
		return err
	}
	if err := WriteFile(t.path, data); err != nil {
		return err
	}
	t.changed = false
	return nil
}

// load reads the file. One that cannot be read is an error, after which the topics are empty and learn anew.
func (t *topics) load() error {
	t.known, t.per = map[topicKey]*Topic{}, map[string]int{}
	data, err := os.ReadFile(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var records []topicRecord
	if err == nil {
		err = json.Unmarshal(data, &records)
	}
	if err != nil {
		return err
	}
	for _, r := range records[:min(len(records), maxAllTopics)] {
		topic := &Topic{Namespace: r.Namespace, Name: r.Name, First: r.First, Last: r.Last, Events: r.Events, Fields: map[string]signal.ValueType{}}
		for name, kind := range r.Fields {
			if parsed, ok := ParseType(kind); ok {
				topic.Fields[name] = parsed
			}
		}
		if _, twice := t.known[topicKey{r.Namespace, r.Name}]; !twice {
			t.known[topicKey{r.Namespace, r.Name}] = topic
			t.per[r.Namespace]++
		}
	}
	return nil
}

// WriteFile replaces a small file, durably: after a crash there is the old or the new one.
func WriteFile(path string, data []byte) error {
	temporary := path + ".new"
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(temporary)))
	}
	return syncFolder(filepath.Dir(path))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// same compares a value with the text of a question: numbers as numbers.
func same(v signal.Value, text string) bool {
	if v.Type == signal.TypeDouble {
		asked, err := strconv.ParseFloat(text, 64)
		return err == nil && asked == math.Float64frombits(v.Number)
	}
	return Words(v) == text
}
