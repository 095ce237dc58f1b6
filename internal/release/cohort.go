package release

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// cohort is the stored form of who a rollout is for. All that is set must match.
type cohort struct {
	Labels    map[string]string `json:"labels,omitempty"`
	Addresses []string          `json:"addresses,omitempty"`
	Percent   *float64          `json:"percent,omitempty"`
}

func cohortOf(c *gantryv1.Cohort) *cohort {
	if c == nil {
		return nil
	}
	return &cohort{Labels: maps.Clone(c.GetLabels()), Addresses: slices.Clone(c.GetAddresses()), Percent: c.Percent}
}

func (c *cohort) proto() *gantryv1.Cohort {
	if c == nil {
		return nil
	}
	return &gantryv1.Cohort{Labels: c.Labels, Addresses: c.Addresses, Percent: c.Percent}
}

func (c *cohort) equal(o *cohort) bool {
	if c == nil || o == nil {
		return c == o
	}
	samePercent := (c.Percent == nil) == (o.Percent == nil) && (c.Percent == nil || *c.Percent == *o.Percent)
	return samePercent && maps.Equal(c.Labels, o.Labels) && slices.Equal(c.Addresses, o.Addresses)
}

// selector is a cohort made ready for matching. It is immutable.
type selector struct {
	labels   map[string]string
	prefixes []netip.Prefix
	// below is the bound of the hash, out of 2^64; all means that no share was asked for, or that it is the whole.
	below uint64
	all   bool
	id    string
}

// compile checks a cohort and makes it ready for the rollout with that id.
func (c *cohort) compile(id string) (*selector, error) {
	if len(c.Labels) == 0 && len(c.Addresses) == 0 && c.Percent == nil {
		return nil, fault.New(fault.Invalid, "cohort.empty", "the cohort matches everyone").
			At("cohort").Hinted("leave the cohort out to release to all, or set labels, addresses or percent")
	}
	s := &selector{labels: c.Labels, id: id, all: true}
	if err := c.checkLabels(); err != nil {
		return nil, err
	}
	if len(c.Addresses) > MaxCohortAddresses {
		return nil, fault.New(fault.TooLarge, "cohort.too_large", "the cohort names %d addresses", len(c.Addresses)).
			At("cohort.addresses").Hinted("at most %d; use CIDR ranges or labels", MaxCohortAddresses)
	}
	for i, text := range c.Addresses {
		prefix, err := parseRange(text)
		if err != nil {
			return nil, fault.New(fault.Invalid, "cohort.address_invalid", "%.64q is neither an IP address nor a CIDR range", text).
				At(fmt.Sprintf("cohort.addresses[%d]", i)).Hinted("write it as 10.1.2.3, 10.1.0.0/16 or fd00::/8").Because(err)
		}
		s.prefixes = append(s.prefixes, prefix)
	}
	if c.Percent != nil {
		percent := *c.Percent
		if math.IsNaN(percent) || percent <= 0 || percent > 100 {
			return nil, fault.New(fault.Invalid, "cohort.percent_invalid", "%v is no percentage", percent).
				At("cohort.percent").Hinted("set it over 0 and up to 100")
		}
		if percent < 100 {
			s.all, s.below = false, uint64(math.Ldexp(percent/100, 64))
		}
	}
	return s, nil
}

func (c *cohort) checkLabels() error {
	if len(c.Labels) > MaxCohortLabels {
		return fault.New(fault.TooLarge, "cohort.too_large", "the cohort names %d labels", len(c.Labels)).
			At("cohort.labels").Hinted("at most %d", MaxCohortLabels)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Labels)) {
		if key == "" || len(key) > maxLabelKey || len(c.Labels[key]) > maxLabelValue {
			return fault.New(fault.Invalid, "cohort.label_invalid", "the label %.64q is no label", key).
				At(fmt.Sprintf("cohort.labels[%.64q]", key)).
				Hinted("a key has 1 to %d bytes, a value up to %d", maxLabelKey, maxLabelValue)
		}
	}
	return nil
}

// parseRange reads an address or a CIDR range. IPv4 in IPv6 form is IPv4, as for the addresses it is compared with.
func parseRange(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		if address.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("an address with a zone matches on one machine only")
		}
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if prefix.Addr().Is4In6() {
		if prefix.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("the range spans IPv4 and IPv6")
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), nil
}

// matches reports whether a subject is in the cohort. It does not allocate.
func (s *selector) matches(subject *Subject) bool {
	for key, want := range s.labels {
		if have, ok := subject.Labels[key]; !ok || have != want {
			return false
		}
	}
	if len(s.prefixes) > 0 && !s.inRange(subject.Address) {
		return false
	}
	return s.all || (subject.InstanceID != "" && share(s.id, subject.InstanceID) < s.below)
}

func (s *selector) inRange(address netip.Addr) bool {
	if !address.IsValid() {
		return false
	}
	for _, prefix := range s.prefixes {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// share is the place of an instance in a rollout, uniform over 64 bits: xxHash64 of rollout id, a zero byte and
// instance id. It depends on nothing else, so that a wider percentage contains the narrower one.
func share(rollout, instance string) uint64 {
	var space [320]byte
	text := append(space[:0], rollout...)
	text = append(text, 0)
	text = append(text, instance...)
	return xxhash.Sum64(text)
}

// rolloutID is the id of the n-th rollout of a document. It can be told before the rollout starts, so that a
// preview shows whom a percentage will choose; and it differs from rollout to rollout, so that it is not always the
// same instances that go first.
func rolloutID(ref Ref, born int64, n int64) string {
	h := sha256.New()
	var number [8]byte
	for _, part := range [...]string{"gantry rollout", ref.Namespace, ref.Kind, ref.Name} {
		binary.BigEndian.PutUint64(number[:], uint64(len(part)))
		h.Write(number[:])
		h.Write([]byte(part))
	}
	for _, value := range [...]int64{born, n} {
		binary.BigEndian.PutUint64(number[:], uint64(value))
		h.Write(number[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
