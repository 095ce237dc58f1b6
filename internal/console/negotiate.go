package console

import (
	"strconv"
	"strings"
)

// encoding is how a file is sent.
type encoding string

// The encodings, by their names in HTTP.
const (
	brotli   encoding = "br"
	zipped   encoding = "gzip"
	identity encoding = "identity"
)

// preferred are the encodings, best first.
var preferred = [...]encoding{brotli, zipped, identity}

// suffixes are of the files that the build makes.
var suffixes = map[encoding]string{brotli: ".br", zipped: ".gz"}

// maxAcceptEncoding bounds what is read of the header; browsers send some thirty bytes.
const maxAcceptEncoding = 1 << 10

// choose picks an encoding that the header Accept-Encoding (RFC 9110, 12.5.3) allows, of those that there are: the one with the highest weight, and of equal ones the
// smallest. ok is false when everything is refused.
func choose(header string, there func(encoding) bool) (best encoding, ok bool) {
	weights := weigh(header)
	highest := 0
	for _, e := range preferred {
		if weight := weights(e); weight > highest && (e == identity || there(e)) {
			best, highest = e, weight
		}
	}
	return best, highest > 0
}

// weigh reads the header into a function that answers the weight of an encoding in thousandths.
func weigh(header string) func(encoding) int {
	named := map[string]int{}
	if len(header) > maxAcceptEncoding {
		header = ""
	}
	for part := range strings.SplitSeq(header, ",") {
		name, parameters, _ := strings.Cut(part, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "" {
			continue
		}
		if name == "x-gzip" {
			name = string(zipped)
		}
		weight := quality(parameters)
		if before, twice := named[name]; twice {
			weight = min(weight, before)
		}
		named[name] = weight
	}
	return func(e encoding) int {
		if weight, found := named[string(e)]; found {
			return weight
		}
		if weight, found := named["*"]; found && (e != identity || weight == 0) {
			return weight
		}
		if e == identity {
			return 1 // allowed unless it is refused, and the last choice
		}
		return 0
	}
}

// quality reads the weight among the parameters. What is no weight counts as a refusal: then the file comes in a form that is surely understood.
func quality(parameters string) int {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, found := strings.Cut(parameter, "=")
		if !found || !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return int(q * 1000)
	}
	return 1000
}

// accepts tells whether the header Accept names a type, so that browsers, which name what they show, are told from programs, which take anything.
func accepts(header, wanted string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, parameters, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), wanted) && quality(parameters) > 0 {
			return true
		}
	}
	return false
}
