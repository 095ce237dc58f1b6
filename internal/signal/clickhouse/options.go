package clickhouse

import (
	"crypto/tls"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gantry-platform/gantry/internal/fault"
)

// Options of a store.
type Options struct {
	// URL is http(s)://host:port/database, as [CheckURL] wants it.
	URL string
	// User and Password are ClickHouse's; an empty user is its "default".
	User, Password string
	// TLS is for https; nil is the system's.
	TLS *tls.Config
	// Retention is how long spans are kept, by the day they arrived. Default 7 days.
	Retention time.Duration
	// Memory bounds the bytes of rows that wait for ClickHouse. Over it Write answers [fault.Exhausted]. Default 384 MiB.
	Memory int64
	// Rows and Linger say when a group of rows is sent. Defaults 50,000 rows and 200 ms: ClickHouse wants few and large inserts, and senders an answer.
	Rows   int
	Linger time.Duration
	// Inserts is how many inserts are under way at once. Default 4.
	Inserts int
	// Attempts is how often an insert is tried. Default 3. Pause is the first wait between two; it grows fivefold. Default 200 ms.
	Attempts int
	Pause    time.Duration
	// Wait is how long writes and reads wait for the tables after the start. Default 2 s.
	Wait time.Duration
	// Clock is time.Now unless a test says otherwise.
	Clock      func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// groupBytes is how large the rows of one insert may grow, uncompressed, before they are sent.
const groupBytes = 16 << 20

func (o Options) withDefaults() Options {
	if o.Retention == 0 {
		o.Retention = 7 * 24 * time.Hour
	}
	if o.Memory == 0 {
		o.Memory = 384 << 20
	}
	if o.Rows == 0 {
		o.Rows = 50_000
	}
	if o.Linger == 0 {
		o.Linger = 200 * time.Millisecond
	}
	if o.Inserts == 0 {
		o.Inserts = 4
	}
	if o.Attempts == 0 {
		o.Attempts = 3
	}
	if o.Pause == 0 {
		o.Pause = 200 * time.Millisecond
	}
	if o.Wait == 0 {
		o.Wait = 2 * time.Second
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	return o
}

// CheckURL reads the URL of a database. One with a user in it is refused, and not shown: a URL ends up in lists of processes and in logs, and a password with it.
func CheckURL(text string) (address *url.URL, database string, err error) {
	wrong := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "setting.bad_value", format, args...).At("clickhouse-url").Hinted("write http(s)://host:8123/database")
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, "", wrong("this is no URL")
	}
	database = strings.TrimPrefix(u.Path, "/")
	switch {
	case u.User != nil:
		return nil, "", fault.New(fault.Invalid, "setting.bad_value", "the URL of ClickHouse has a user in it").At("clickhouse-url").
			Hinted("name the user by --clickhouse-user, and give the password by --clickhouse-password-file or GANTRY_CLICKHOUSE_PASSWORD")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "":
		return nil, "", wrong("%q is no address of ClickHouse's HTTP interface", text)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, "", wrong("the URL of ClickHouse takes no parameters")
	case strings.Contains(database, "/"):
		return nil, "", wrong("%q is no name of a database", database)
	}
	if database == "" {
		database = "default"
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}, database, nil
}
