package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The statuses of messages and of alerts in them.
const (
	Firing   = "firing"
	Resolved = "resolved"
)

// Message is what a group of alerts has come to.
type Message struct {
	// Receiver is the name of the document; GroupKey names the group.
	Receiver, GroupKey string
	// Status is Firing while any alert fires.
	Status                                       string
	GroupLabels, CommonLabels, CommonAnnotations map[string]string
	// ExternalURL is where Gantry is reached.
	ExternalURL string
	Alerts      []Alert
	// Truncated counts alerts that are left out.
	Truncated int
	// Test says that nothing has happened.
	Test bool
}

// Alert is one of a message.
type Alert struct {
	Status              string
	Labels, Annotations map[string]string
	StartsAt            time.Time
	// EndsAt is zero while it fires.
	EndsAt       time.Time
	GeneratorURL string
	Fingerprint  string
	// Value is written for people.
	Value string
	// Changes are lines about what was changed in the minutes before it fired.
	Changes []string
}

// Title is the message in a line.
func (m *Message) Title() string {
	status, count := strings.ToUpper(m.Status), 0
	for i := range m.Alerts {
		if m.Alerts[i].Status == m.Status {
			count++
		}
	}
	if m.Status == Firing {
		count += m.Truncated
	}
	title := fmt.Sprintf("[%s:%d] %s", status, count, labelText(m.GroupLabels))
	if m.Test {
		title = "[TEST] " + title
	}
	return oneLine(title)
}

// labelText writes labels, the alert's name first.
func labelText(labels map[string]string) string {
	var parts []string
	if name := labels["alertname"]; name != "" {
		parts = append(parts, name)
	}
	for _, name := range sortedKeys(labels) {
		if name != "alertname" {
			parts = append(parts, name+"="+labels[name])
		}
	}
	return strings.Join(parts, " ")
}

// Text is the message for people, in at most so many bytes. What does not fit is counted. Form, where it is not nil, writes each part in a channel's own way.
func (m *Message) Text(most int, form func(string) string) string {
	if form == nil {
		form = func(text string) string { return text }
	}
	var b strings.Builder
	if m.Test {
		b.WriteString("This is a test of the receiver. Nothing has happened.\n\n")
	}
	told := 0
	for i := range m.Alerts {
		text := form(m.Alerts[i].text())
		if b.Len()+len(text) > most-200 {
			if told == 0 {
				b.WriteString(cut(text, most-200-b.Len()))
				told++
			}
			break
		}
		b.WriteString(text)
		told++
	}
	if rest := len(m.Alerts) - told + m.Truncated; rest > 0 {
		fmt.Fprintf(&b, "and %d more\n", rest)
	}
	if m.ExternalURL != "" && b.Len()+len(m.ExternalURL) < most {
		b.WriteString(m.ExternalURL)
	}
	return strings.TrimRight(b.String(), "\n")
}

func (a *Alert) text() string {
	var b strings.Builder
	summary := a.Annotations["summary"]
	if summary == "" {
		summary = a.Labels["alertname"]
	}
	fmt.Fprintf(&b, "%s (%s): %s\n", strings.ToUpper(a.Status), a.Labels["severity"], oneLine(summary))
	if description := a.Annotations["description"]; description != "" {
		fmt.Fprintf(&b, "  %s\n", oneLine(description))
	}
	fmt.Fprintf(&b, "  labels: %s\n", labelText(a.Labels))
	if a.Value != "" {
		fmt.Fprintf(&b, "  value: %s\n", a.Value)
	}
	fmt.Fprintf(&b, "  since: %s\n", a.StartsAt.UTC().Format(time.RFC3339))
	if !a.EndsAt.IsZero() {
		fmt.Fprintf(&b, "  until: %s\n", a.EndsAt.UTC().Format(time.RFC3339))
	}
	if runbook := a.Annotations["runbook_url"]; runbook != "" {
		fmt.Fprintf(&b, "  runbook: %s\n", oneLine(runbook))
	}
	if len(a.Changes) > 0 {
		b.WriteString("  changed before:\n")
		for _, change := range a.Changes {
			fmt.Fprintf(&b, "    %s\n", oneLine(change))
		}
	}
	b.WriteByte('\n')
	return b.String()
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// cut shortens a text to at most so many bytes, between two characters.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	most = max(most, 0)
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
