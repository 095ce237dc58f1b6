package nacos

import (
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
)

// about is what Nacos keeps beside a configuration's content. Gantry has the version's message for it: the description, and a line for
// each of the others.
type about struct {
	desc, app, tags, user string
	// dataKey is what a client's encryption plugin needs to open the content again.
	dataKey string
}

// The beginnings of the lines.
const (
	appLine     = "Nacos-App: "
	tagsLine    = "Nacos-Tags: "
	userLine    = "Nacos-User: "
	dataKeyLine = "Nacos-Encrypted-Data-Key: "
)

// message joins what is there. Errors: TooLarge when it does not fit into a message.
func (a *about) message() (string, error) {
	var b strings.Builder
	b.WriteString(strings.TrimSpace(a.desc))
	for _, line := range [...]struct{ begin, value string }{{appLine, a.app}, {tagsLine, a.tags}, {userLine, a.user}, {dataKeyLine, a.dataKey}} {
		if line.value == "" {
			continue
		}
		if strings.ContainsAny(line.value, "\r\n") {
			return "", invalid("config", "%s holds a line break", quoted(line.value)).Hinted("send app, tags, user and encryptedDataKey on one line")
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(line.begin + line.value)
	}
	if b.Len() > release.MaxMessage {
		return "", fault.New(fault.TooLarge, "nacos.too_large", "desc, appName, config_tags, src_user and encryptedDataKey have %d bytes together", b.Len()).
			Hinted("at most %d", release.MaxMessage)
	}
	return b.String(), nil
}

// aboutOf undoes message. A message of another origin is the description.
func aboutOf(message string) about {
	var a about
	var desc []string
	for line := range strings.SplitSeq(message, "\n") {
		if value, found := strings.CutPrefix(line, appLine); found {
			a.app = value
		} else if value, found := strings.CutPrefix(line, tagsLine); found {
			a.tags = value
		} else if value, found := strings.CutPrefix(line, userLine); found {
			a.user = value
		} else if value, found := strings.CutPrefix(line, dataKeyLine); found {
			a.dataKey = value
		} else {
			desc = append(desc, line)
		}
	}
	a.desc = strings.Join(desc, "\n")
	return a
}
