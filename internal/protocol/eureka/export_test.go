package eureka

import (
	"math"
	"time"
)

// Eager makes documents anew at every change, whatever that costs.
func (h *Handler) Eager() *Handler {
	h.catalogues.costly = time.Duration(math.MaxInt64)
	return h
}
