package policy

import (
	"reflect"
	"time"

	"github.com/prometheus/common/model"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// KindNotificationRoute is the kind of the documents that say who hears of which alerts, and how often.
const KindNotificationRoute = "NotificationRoute"

// Defaults and bounds of a NotificationRoute; the defaults are Alertmanager's.
const (
	defaultGroupWait     = 30 * time.Second
	defaultGroupInterval = 5 * time.Minute
	defaultRepeat        = 4 * time.Hour
	minGroupInterval     = 10 * time.Second
	maxRepeat            = 30 * 24 * time.Hour
	maxReceivers         = 16
	maxOrder             = 1_000_000
)

// NotificationRoute sends the alerts that its matchers match to receivers, in groups. The routes of a namespace are asked by Order, then by
// name; the first that matches takes the alert, and those after it too when it says Continue.
type NotificationRoute struct {
	Order    int      `json:"order"`
	Matchers []string `json:"matchers"`
	Continue bool     `json:"continue"`
	// Receivers are names of documents of kind Receiver in the same namespace.
	Receivers []string `json:"receivers" spec:"required"`
	// GroupBy are the labels whose values make a group; "..." is all of them. Default: alertname.
	GroupBy []string `json:"groupBy"`
	// GroupWait is how long the first notification of a group waits for company; GroupInterval the time before news of a group is told;
	// RepeatInterval the time before it is told again without news. Defaults 30s, 5m and 4h.
	GroupWait      *Duration `json:"groupWait"`
	GroupInterval  Duration  `json:"groupInterval"`
	RepeatInterval Duration  `json:"repeatInterval"`

	// Parsed are Matchers, parsed.
	Parsed Matchers `json:"-"`
}

type notificationRouteKind struct{}

func (notificationRouteKind) Name() string { return KindNotificationRoute }

func (notificationRouteKind) Formats() []string {
	return []string{source.YAML, source.JSON, source.TOML}
}

func (notificationRouteKind) spec() reflect.Type { return reflect.TypeFor[NotificationRoute]() }

func (notificationRouteKind) Validate(doc Document, lib Library) ([]*fault.Error, error) {
	route, tree, err := readNotificationRoute(doc)
	if err != nil || lib == nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, receiver := range lib.Released(doc.Namespace, KindReceiver) {
		known[receiver.Name] = true
	}
	var warnings []*fault.Error
	for i, name := range route.Receivers {
		if !known[name] {
			warnings = append(warnings, tree.At("receivers", i).Fault("route.unknown_receiver", "no Receiver %s is released in this namespace", source.Quote(name)).
				Hinted("until it is, nobody hears of these alerts"))
		}
	}
	return warnings, nil
}

// ParseNotificationRoute reads the content of a NotificationRoute, with its defaults filled in.
func ParseNotificationRoute(doc Document) (NotificationRoute, error) {
	route, _, err := readNotificationRoute(doc)
	return route, err
}

func readNotificationRoute(doc Document) (NotificationRoute, source.Tree, error) {
	r, tree, err := decodeOpen[NotificationRoute](doc)
	if err != nil {
		return NotificationRoute{}, tree, err
	}
	var faults []*fault.Error
	r.Parsed, faults = checkMatchers(tree, "matchers", r.Matchers)
	refuse := func(f *fault.Error) {
		if f != nil {
			faults = append(faults, f)
		}
	}
	if r.Order < -maxOrder || r.Order > maxOrder {
		refuse(tree.At("order").Fault("route.bad_order", "the order %d is not between %d and %d", r.Order, -maxOrder, maxOrder))
	}
	if n := len(r.Receivers); n == 0 || n > maxReceivers {
		refuse(tree.At("receivers").Fault("route.bad_receivers", "there are %d receivers", n).Hinted("name 1 to %d", maxReceivers))
	}
	if len(r.GroupBy) == 0 {
		r.GroupBy = []string{"alertname"}
	}
	if len(r.GroupBy) != 1 || r.GroupBy[0] != "..." {
		faults = append(faults, checkNames(tree, "groupBy", r.GroupBy)...)
	}
	if r.GroupWait == nil {
		wait := Duration(defaultGroupWait)
		r.GroupWait = &wait
	}
	if r.GroupInterval == 0 {
		r.GroupInterval = Duration(defaultGroupInterval)
	}
	if r.RepeatInterval == 0 {
		r.RepeatInterval = Duration(defaultRepeat)
	}
	refuse(checkSpan(tree.At("groupWait"), *r.GroupWait, 0, time.Hour))
	refuse(checkSpan(tree.At("groupInterval"), r.GroupInterval, minGroupInterval, 24*time.Hour))
	refuse(checkSpan(tree.At("repeatInterval"), r.RepeatInterval, time.Duration(r.GroupInterval), maxRepeat))
	return r, tree, fault.Join(faults...)
}

func checkNames(tree source.Tree, field string, names []string) (faults []*fault.Error) {
	if len(names) > maxLabels {
		return []*fault.Error{tree.At(field).Fault("alert.too_many_texts", "there are %d labels", len(names)).Hinted("at most %d are allowed", maxLabels)}
	}
	for i, name := range names {
		if !model.LegacyValidation.IsValidLabelName(name) || len(name) > 128 {
			faults = append(faults, tree.At(field, i).Fault("alert.bad_name", "%s is no name of a label", source.Quote(name)))
		}
	}
	return faults
}
