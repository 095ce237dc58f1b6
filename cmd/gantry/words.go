package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// clock is a time for people, in their zone; "-" for none.
func clock(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().Local().Format(time.DateTime)
}

// age is how long ago a time was, in its largest unit; "-" for none.
func (c *cli) age(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	d := max(c.now().Sub(t.AsTime()), 0)
	switch {
	case d < 2*time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + "h"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + "d"
	}
}

// pairs writes labels as they are given on the command line, sorted.
func pairs(labels map[string]string) string {
	parts := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, key+"="+labels[key])
	}
	return strings.Join(parts, ",")
}

// dash makes an empty cell visible.
func dash(text string) string { return first(text, "-") }

// word is an enum's value without its prefix, in small letters: STATUS_UP is "up".
func word(value fmt.Stringer, prefix string) string {
	name, ok := strings.CutPrefix(value.String(), prefix)
	if !ok || name == "UNSPECIFIED" {
		return "-"
	}
	return strings.ToLower(strings.ReplaceAll(name, "_", " "))
}

func bytesText(n uint64) string {
	const kib = 1 << 10
	switch {
	case n < kib:
		return fmt.Sprintf("%d B", n)
	case n < kib*kib:
		return fmt.Sprintf("%.1f KiB", float64(n)/kib)
	case n < kib*kib*kib:
		return fmt.Sprintf("%.1f MiB", float64(n)/(kib*kib))
	default:
		return fmt.Sprintf("%.1f GiB", float64(n)/(kib*kib*kib))
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// decimal writes a number without an exponent or needless digits.
func decimal(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// parsePairs reads key=value words, as flags give them. A key may not be empty or come twice; a value may be
// empty and may hold "=".
func parsePairs(flag string, words []string) (map[string]string, error) {
	if len(words) == 0 {
		return nil, nil
	}
	parsed := make(map[string]string, len(words))
	for _, word := range words {
		key, value, ok := strings.Cut(word, "=")
		if !ok || key == "" {
			return nil, fault.New(fault.Invalid, "cli.usage", "%q is not key=value", word).At(flag).Hinted("write it as --%s zone=north", flag)
		}
		if _, twice := parsed[key]; twice {
			return nil, fault.New(fault.Invalid, "cli.usage", "%q is given twice", key).At(flag).Hinted("give each key once")
		}
		parsed[key] = value
	}
	return parsed, nil
}

// parsePercent reads a share such as "10", "0.5" or "10%".
func parsePercent(text string) (float64, error) {
	share, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !(share > 0 && share <= 100) {
		return 0, fault.New(fault.Invalid, "cli.usage", "%q is no percentage", text).At("percent").Hinted("give a number above 0, up to 100")
	}
	return share, nil
}

// parseGrants reads grants such as "default=viewer" and "*=admin".
func parseGrants(words []string) ([]*gantryv1.Grant, error) {
	var grants []*gantryv1.Grant
	for _, word := range words {
		namespace, role, ok := strings.Cut(word, "=")
		number, known := gantryv1.Role_value["ROLE_"+strings.ToUpper(role)]
		if !ok || namespace == "" || !known || number == 0 {
			return nil, fault.New(fault.Invalid, "cli.usage", "%q is no grant", word).At("grant").
				Hinted("write it as --grant NAMESPACE=ROLE, where the role is viewer, developer, releaser, admin or service; '*' is every namespace")
		}
		grants = append(grants, &gantryv1.Grant{Namespace: namespace, Role: gantryv1.Role(number)})
	}
	return grants, nil
}

func grantsText(grants []*gantryv1.Grant) string {
	parts := make([]string, 0, len(grants))
	for _, grant := range grants {
		parts = append(parts, grant.GetNamespace()+"="+word(grant.GetRole(), "ROLE_"))
	}
	return strings.Join(parts, ",")
}

// longAgo reads how long ago something was: a duration as Go writes it, or whole days such as 7d, which people and the console say.
func longAgo(text string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err == nil
	}
	ago, err := time.ParseDuration(text)
	return ago, err == nil && ago >= 0
}

// parseMoment reads a time: RFC 3339, a date or a date with time in the local zone, or how long ago it was.
func (c *cli) parseMoment(flag, text string) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	if ago, ok := longAgo(text); ok {
		return timestamppb.New(c.now().Add(-ago)), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return timestamppb.New(t), nil
	}
	for _, layout := range []string{time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return timestamppb.New(t), nil
		}
	}
	return nil, fault.New(fault.Invalid, "cli.usage", "%q is no time", text).At(flag).
		Hinted("write how long ago (90m, 7d), a date (2026-03-01), or RFC 3339 (2026-03-01T12:00:00Z)")
}
