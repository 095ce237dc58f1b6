package alert

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// State is where an alert is.
type State string

// The states.
const (
	Inactive State = "inactive"
	Pending  State = "pending"
	Firing   State = "firing"
	Resolved State = "resolved"
)

// Alert is one series for which a rule's condition holds, or held a while ago. It is not changed after it was shown: the next state is a new one.
type Alert struct {
	// Labels name it; they hold alertname, namespace and severity.
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	State       State             `json:"state"`
	// Value is of the newest evaluation; in the state, of the transition.
	Value Number `json:"value"`
	// Expected is what a baseline took for normal, otherwise NaN.
	Expected Number `json:"expected"`
	// ActiveAt is since when the condition holds; FiredAt and ResolvedAt are zero before.
	ActiveAt   time.Time `json:"activeAt"`
	FiredAt    time.Time `json:"firedAt,omitzero"`
	ResolvedAt time.Time `json:"resolvedAt,omitzero"`
	// CeasedAt is since when a firing alert's condition does not hold any more, while it is kept firing.
	CeasedAt time.Time `json:"ceasedAt,omitzero"`
	// Changes are those of the minutes before it fired, newest first.
	Changes []Change `json:"changes,omitempty"`
}

// ID names an alert by its labels: Alertmanager's fingerprint.
func (a *Alert) ID() string { return fingerprint(a.Labels) }

func fingerprint(set map[string]string) string {
	labels := make(model.LabelSet, len(set))
	for name, value := range set {
		labels[model.LabelName(name)] = model.LabelValue(value)
	}
	return labels.Fingerprint().String()
}

// label is a label's value for matchers.
func (a *Alert) label(name string) string { return a.Labels[name] }

// clone is a copy that may be changed; labels and annotations are shared, because nobody changes them.
func (a *Alert) clone() *Alert {
	c := *a
	return &c
}

// Number is a float64 that JSON can hold whatever it is.
type Number float64

// MarshalJSON implements [json.Marshaler].
func (n Number) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return json.Marshal(strconv.FormatFloat(f, 'g', -1, 64))
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON implements [json.Unmarshaler].
func (n *Number) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		f, err := strconv.ParseFloat(text, 64)
		*n = Number(f)
		return err
	}
	return json.Unmarshal(data, (*float64)(n))
}

// Transition is an entry of the history.
type Transition struct {
	At time.Time `json:"at"`
	// Kind and Name are the document.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// What is "state", "evaluation", "missed" or "notification".
	What string `json:"what"`
	// From and To are states of an alert.
	From State `json:"from,omitempty"`
	To   State `json:"to,omitempty"`
	// Labels, Value, Expected and Changes are the alert's.
	Labels   map[string]string `json:"labels,omitempty"`
	Value    Number            `json:"value"`
	Expected Number            `json:"expected"`
	Changes  []Change          `json:"changes,omitempty"`
	// Message says what cannot be told by the rest.
	Message string `json:"message,omitempty"`
	// Node that wrote it.
	Node string `json:"node,omitempty"`
}

// What entries of the history are about.
const (
	aboutState        = "state"
	aboutEvaluation   = "evaluation"
	aboutMissed       = "missed"
	aboutNotification = "notification"
)

// merged are labels with more over them.
func merged(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}

func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return fmt.Sprintf("%s... (%d bytes)", strings.ToValidUTF8(text[:most], ""), len(text))
}
