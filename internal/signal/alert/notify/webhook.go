package notify

import (
	"context"
	"net/http"
	"time"

	"github.com/gantry-platform/gantry/internal/policy"
)

// webhookBody is Alertmanager's webhook, version 4. Alerts have fields of ours beside: value and changes.
type webhookBody struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"`
	Status            string            `json:"status"`
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Alerts            []webhookAlert    `json:"alerts"`
}

type webhookAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
	Value        string            `json:"value,omitempty"`
	Changes      []string          `json:"changes,omitempty"`
}

func (s *Sender) webhook(ctx context.Context, w *policy.Webhook, m *Message) error {
	body := webhookBody{Version: "4", GroupKey: m.GroupKey, TruncatedAlerts: m.Truncated, Status: m.Status, Receiver: m.Receiver, GroupLabels: texts(m.GroupLabels),
		CommonLabels: texts(m.CommonLabels), CommonAnnotations: texts(m.CommonAnnotations), ExternalURL: m.ExternalURL, Alerts: []webhookAlert{}}
	for i := range m.Alerts {
		a := &m.Alerts[i]
		body.Alerts = append(body.Alerts, webhookAlert{Status: a.Status, Labels: texts(a.Labels), Annotations: texts(a.Annotations), StartsAt: a.StartsAt, EndsAt: a.EndsAt,
			GeneratorURL: a.GeneratorURL, Fingerprint: a.Fingerprint, Value: a.Value, Changes: a.Changes})
	}
	header := http.Header{}
	for name, value := range w.Headers {
		header.Set(name, value)
	}
	if w.BearerToken != "" {
		header.Set("Authorization", "Bearer "+w.BearerToken)
	}
	_, err := s.post(ctx, w.URL, w.CA, header, body)
	return err
}

// texts is never null in JSON.
func texts(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
