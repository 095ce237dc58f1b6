package server

import (
	"fmt"
	"strings"
)

// Size is a number of bytes, written with an optional unit: 512MiB, 4GiB, 1048576.
type Size int64

// String implements pflag.Value.
func (s Size) String() string {
	units := []string{"", "KiB", "MiB", "GiB", "TiB"}
	value, unit := int64(s), 0
	for value != 0 && value%1024 == 0 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%d%s", value, units[unit])
}

// Set implements pflag.Value.
func (s *Size) Set(text string) error {
	var value float64
	unit := strings.TrimLeft(text, "0123456789.")
	if _, err := fmt.Sscanf(strings.TrimSuffix(text, unit), "%g", &value); err != nil || value < 0 {
		return fmt.Errorf("%q is not a size such as 512MiB", text)
	}
	factors := map[string]float64{"": 1, "b": 1, "kib": 1 << 10, "k": 1 << 10, "mib": 1 << 20, "m": 1 << 20, "gib": 1 << 30, "g": 1 << 30, "tib": 1 << 40,
		"kb": 1e3, "mb": 1e6, "gb": 1e9}
	factor, known := factors[strings.ToLower(strings.TrimSpace(unit))]
	if !known || value*factor > 1<<62 {
		return fmt.Errorf("%q is not a size such as 512MiB", text)
	}
	*s = Size(value * factor)
	return nil
}

// Type implements pflag.Value.
func (s *Size) Type() string { return "size" }
