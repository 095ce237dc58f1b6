package server

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/gantry-platform/gantry/internal/signal/event"
	"github.com/gantry-platform/gantry/internal/signal/event/kafka"
	"github.com/gantry-platform/gantry/internal/signal/series"
)

// Settings are what an operator can set. They come from flags, the environment and a file, in that order; see [Settings.Bind]
// for the words about each, from which docs/configuration.md is made.
type Settings struct {
	Dev bool

	Data            string
	Name            string
	Advertise       string
	HTTPListen      string
	HTTPAliases     []string
	GRPCListen      string
	ConsulNode      string
	DNSListen       string
	ShutdownTimeout time.Duration

	Authentication string
	TLSCertificate string
	TLSKey         string
	TLSClientCA    string
	RootKeyFile    string
	RootKey        string

	Cluster           []string
	Join              string
	PeerListen        string
	ClusterListen     string
	ClusterSecret     string
	ClusterSecretFile string
	NodeTTL           time.Duration

	EtcdEndpoints    []string
	EtcdPrefix       string
	EtcdUsername     string
	EtcdPassword     string
	EtcdPasswordFile string
	EtcdCA           string
	EtcdCertificate  string
	EtcdKey          string
	EtcdMaxTxnOps    int
	EtcdSocket       bool

	StateQuota  Size
	MinimumFree Size
	MemoryLimit string

	OTLPGRPCListen      string
	OTLPHTTPListen      string
	TracesMemory        Size
	TracesRetention     time.Duration
	TracesRetentionSize Size
	TracesSampleShare   float64
	TracesSampleSlow    time.Duration

	ClickHouseURL          string
	ClickHouseUser         string
	ClickHousePassword     string
	ClickHousePasswordFile string
	ClickHouseCA           string

	MetricsRetention        time.Duration
	MetricsRetentionSize    Size
	MetricsSeries           int
	MetricsNamespaceSeries  int
	MetricsNameSeries       int
	MetricsDeltaSeries      int
	ScrapeInterval          time.Duration
	ScrapeTimeout           time.Duration
	ScrapeSamples           int
	EventsMaxAge            time.Duration
	EventsMaxSize           Size
	EventsRate              int
	EventsKafkaBrokers      []string
	EventsKafkaPrefix       string
	EventsKafkaTLS          bool
	EventsKafkaCA           string
	EventsKafkaMechanism    string
	EventsKafkaUser         string
	EventsKafkaPassword     string
	EventsKafkaPasswordFile string
	AlertAllowNetworks      []string
	ExternalURL             string

	LogLevel    string
	LogFormat   string
	DebugListen string

	// Bound remembers which were set, and where.
	set map[string]string
	// memory is what [LimitMemory] decided.
	memory memoryLimit
}

// Setting describes one setting for help and for the reference.
type Setting struct {
	Name string
	// Default as it is written.
	Default string
	// Meaning says what it does, with its unit.
	Meaning string
	// Why says the reason of the default.
	Why string
	// Secret settings have no flag: command lines are seen by everyone on the machine.
	Secret bool

	value pflag.Value
}

// Env is the environment variable of a setting.
func (s Setting) Env() string {
	return "GANTRY_" + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// AddFlag puts the setting onto a command. A secret one gets none.
func (s Setting) AddFlag(flags *pflag.FlagSet) {
	if s.Secret {
		return
	}
	// pflag takes what stands between backquotes for the name of the value.
	flag := flags.VarPF(s.value, s.Name, "", strings.ReplaceAll(s.Meaning, "`", "")+" ("+s.Env()+")")
	if s.value.Type() == "bool" {
		flag.NoOptDefVal = "true"
	}
}

// Describe lists the settings in force, a line each, with where each comes from. Secrets are not shown.
func (s *Settings) Describe() []string {
	// Binding sets defaults, so a copy is bound first and given the values afterwards.
	bound := &Settings{}
	all := bound.Bind()
	*bound = *s
	lines := make([]string, 0, len(all))
	for _, setting := range all {
		value := strings.Trim(setting.value.String(), "[]")
		if setting.Secret && value != "" {
			value = "(not shown)"
		}
		where := s.set[setting.Name]
		if where == "" {
			where = "default"
		}
		lines = append(lines, fmt.Sprintf("%-20s %-32s # %s", setting.Name+":", value, where))
	}
	return lines
}

// Bind sets the defaults and describes every setting.
func (s *Settings) Bind() []Setting {
	flags := pflag.NewFlagSet("settings", pflag.ContinueOnError)
	var all []Setting
	add := func(name, meaning, why string) {
		flag := flags.Lookup(name)
		all = append(all, Setting{Name: name, Default: flag.DefValue, Meaning: meaning, Why: why, value: flag.Value})
	}
	text := func(to *string, name, value, meaning, why string) {
		flags.StringVar(to, name, value, "")
		add(name, meaning, why)
	}
	secret := func(to *string, name, meaning, why string) {
		text(to, name, "", meaning, why)
		all[len(all)-1].Secret = true
	}
	list := func(to *[]string, name, meaning, why string) {
		flags.StringSliceVar(to, name, nil, "")
		add(name, meaning, why)
		all[len(all)-1].Default = ""
	}
	duration := func(to *time.Duration, name string, value time.Duration, meaning, why string) {
		flags.DurationVar(to, name, value, "")
		add(name, meaning, why)
	}
	number := func(to *int, name string, value int, meaning, why string) {
		flags.IntVar(to, name, value, "")
		add(name, meaning, why)
	}
	size := func(to *Size, name string, value Size, meaning, why string) {
		*to = value
		flags.Var(to, name, "")
		add(name, meaning, why)
	}

	flags.BoolVar(&s.Dev, "dev", false, "")
	add("dev", "Try it out: everything on loopback, authentication off, data in a temporary folder unless --data is given.",
		"A server for others must be asked for nothing less than its safe defaults.")
	text(&s.Data, "data", "gantry-data", "Folder for all that must survive a restart.", "Beside where it is started, so that nothing needs to be prepared.")
	text(&s.Name, "name", "", "Name of this node, for people and for the members of a cluster.", "Empty: the host's name.")
	text(&s.Advertise, "advertise", "", "Host or IP address by which clients and other nodes reach this node.",
		"Empty: the first address of the machine that is not loopback; on loopback when that is all it listens on.")
	text(&s.HTTPListen, "http-listen", ":8848", "Address of the HTTP port: console, APIs, metrics, health.", "The port that Nacos clients dial.")
	list(&s.HTTPAliases, "http-aliases", "Further addresses of the HTTP port, for clients that cannot be told a port (Consul :8500, Eureka :8761, Zipkin :9411).",
		"None: fewer open ports. With --dev those three on loopback, where they are free.")
	text(&s.GRPCListen, "grpc-listen", ":9848", "Address of the gRPC port: sessions of services.", "The HTTP port and a thousand, which Nacos clients expect.")
	text(&s.ConsulNode, "consul-node", "gantry", "Name of the one node that Consul's clients see, to which what they register belongs; the same on all nodes of a cluster.",
		"Says what it is.")
	text(&s.DNSListen, "dns-listen", "", "Address of the DNS port, UDP and TCP: NAME.service.consul. Whoever reaches it can look up every service: DNS knows no authentication.",
		"Empty: closed. With --dev 127.0.0.1:8600, where it is free.")
	duration(&s.ShutdownTimeout, "shutdown-timeout", 15*time.Second, "How long a stop may take: sessions move to other nodes, requests end.",
		"Under the 30 s after which most supervisors kill.")

	text(&s.Authentication, "authentication", "on", "on or off. Off only listens on loopback.", "On, because defaults end up in production.")
	text(&s.TLSCertificate, "tls-certificate", "", "PEM file with the certificate for the HTTP and gRPC ports; read again when it changes.", "Empty: no TLS, with a warning beyond loopback.")
	text(&s.TLSKey, "tls-key", "", "PEM file with its key.", "")
	text(&s.TLSClientCA, "tls-client-ca", "", "PEM file with authorities; clients must then show a certificate of one of them.", "Empty: tokens and passwords are enough.")
	text(&s.RootKeyFile, "root-key-file", "", "File with the keys (32 bytes each, hex or base64, one a line) that seal the keys of sensitive documents; the first one seals, all unseal.",
		"Empty: derived from the cluster secret, or root.key in the data folder, made at the first start.")
	secret(&s.RootKey, "root-key", "The same as text.", "")

	list(&s.Cluster, "cluster", "Members of a new cluster: name=host[:port] for each, this node included; port is that of --peer-listen.", "Empty: this node alone.")
	text(&s.Join, "join", "", "host[:port] of a running node's --cluster-listen: become a member of its cluster.", "")
	text(&s.PeerListen, "peer-listen", ":2380", "Address for the embedded etcd of other members.", "etcd's own. Closed unless this node is in a cluster.")
	text(&s.ClusterListen, "cluster-listen", ":7848", "Address for the other nodes.", "Closed unless this node is in a cluster.")
	secret(&s.ClusterSecret, "cluster-secret", "The secret that all nodes of a cluster share; certificates for mutual TLS come from it.", "")
	text(&s.ClusterSecretFile, "cluster-secret-file", "", "File with that secret; `gantry cluster secret` makes one.", "")
	duration(&s.NodeTTL, "node-ttl", 10*time.Second, "How long a node may be silent before the others take over its instances.",
		"Longer than an election and a long pause of a busy machine.")

	list(&s.EtcdEndpoints, "etcd-endpoints", "URLs of an etcd cluster that you run.", "Empty: etcd is embedded.")
	text(&s.EtcdPrefix, "etcd-prefix", "/gantry/", "Root of all keys in it.", "")
	text(&s.EtcdUsername, "etcd-username", "", "User of that etcd.", "")
	secret(&s.EtcdPassword, "etcd-password", "Password of that user.", "")
	text(&s.EtcdPasswordFile, "etcd-password-file", "", "File with that password.", "")
	text(&s.EtcdCA, "etcd-ca", "", "PEM file with the authority of that etcd.", "Empty: the system's.")
	text(&s.EtcdCertificate, "etcd-certificate", "", "PEM file with a client certificate for it.", "")
	text(&s.EtcdKey, "etcd-key", "", "PEM file with its key.", "")
	number(&s.EtcdMaxTxnOps, "etcd-max-txn-ops", 128, "That etcd's --max-txn-ops; more lets more changes share a transaction.", "etcd's own default.")
	flags.BoolVar(&s.EtcdSocket, "etcd-socket", false, "")
	add("etcd-socket", "Serve the embedded etcd on a unix socket in the data folder, for etcdctl.", "Off: whoever opens it may change everything.")

	size(&s.StateQuota, "state-quota", 4<<30, "Largest size of the embedded state.", "Far above what fits a fleet of thousands; etcd advises at most 8 GiB.")
	size(&s.MinimumFree, "minimum-free", 256<<20, "Free disk space below which nothing is written any more.", "Two log segments of etcd and room to compact.")
	text(&s.MemoryLimit, "memory-limit", memoryAuto, "Memory of the process beyond which it collects garbage more often (a soft limit, GOMEMLIMIT): a size, off, or auto: 90% of what its container (cgroup) may use, if that is limited. Spans get a quarter of it at most, unless --traces-memory is set.",
		"Without it the heap may grow to twice what is alive, and the container is killed. Where GOMEMLIMIT is set, auto leaves it.")

	text(&s.OTLPGRPCListen, "otlp-grpc-listen", ":4317", "Address for traces, metrics and logs of OpenTelemetry by gRPC; empty: closed.",
		"OpenTelemetry's own. Taken by another program: a warning, unless it was set.")
	text(&s.OTLPHTTPListen, "otlp-http-listen", ":4318", "The same by HTTP.", "OpenTelemetry's own.")
	size(&s.TracesMemory, "traces-memory", 512<<20, "Most memory for spans that are not in a block on disk, or in ClickHouse, yet; over it senders are told to wait.",
		"Four parts of some 270,000 spans: one fills while the others are written. A quarter of the --memory-limit where that is less.")
	duration(&s.TracesRetention, "traces-retention", 7*24*time.Hour, "How long traces are kept.", "The last week is what people look into; a span takes some 50 bytes.")
	size(&s.TracesRetentionSize, "traces-retention-size", 0, "Most disk space for traces; the oldest go first. 0: no bound.", "The disk's --minimum-free holds in any case.")
	flags.Float64Var(&s.TracesSampleShare, "traces-sample-share", 1, "")
	add("traces-sample-share", "Share of the traces kept that neither failed nor were slow, 0 to 1. Rates are worked out from all.", "Everything is kept until it costs too much.")
	duration(&s.TracesSampleSlow, "traces-sample-slow", time.Second, "When less is kept: traces with a span of this duration are kept all the same.", "What people call slow.")

	text(&s.ClickHouseURL, "clickhouse-url", "", "http(s)://host:8123/database of a ClickHouse that keeps the traces in place of this node's disk. A URL with a user in it is refused.",
		"Empty: traces stay here, which is enough for some thousand spans a second and a week.")
	text(&s.ClickHouseUser, "clickhouse-user", "", "User of that ClickHouse.", "Empty: its \"default\".")
	secret(&s.ClickHousePassword, "clickhouse-password", "Password of that user.", "")
	text(&s.ClickHousePasswordFile, "clickhouse-password-file", "", "File with that password.", "")
	text(&s.ClickHouseCA, "clickhouse-ca", "", "PEM file with the authority of that ClickHouse, for https.", "Empty: the system's.")

	duration(&s.MetricsRetention, "metrics-retention", series.DefaultRetention, "Age at which metrics go, counted from the newest one.", "Alerts compare with the last four same weekdays, of which the oldest is 28 days ago.")
	size(&s.MetricsRetentionSize, "metrics-retention-size", 10<<30, "Most disk space of metrics: the oldest go first. 0: no limit.", "About 30 days of 48,000 series every 15 s, at 1.3 bytes a sample; with more, the oldest go before their age.")
	number(&s.MetricsSeries, "metrics-series", 1_000_000, "Most series of metrics in memory; those beyond it are dropped, counted and named in the log.", "About 4 GiB.")
	number(&s.MetricsNamespaceSeries, "metrics-namespace-series", 500_000, "Most of them in one namespace.", "One environment gone wild leaves room for the others.")
	number(&s.MetricsNameSeries, "metrics-name-series", 100_000, "Most of them of one metric in one namespace.", "10,000 endpoints with ten combinations of the other labels.")
	number(&s.MetricsDeltaSeries, "metrics-delta-series", 100_000, "Most series that are summed up from OTLP metrics of delta temporality.", "Some 20 MiB of counters, some 300 MiB if all were full native histograms.")
	duration(&s.ScrapeInterval, "scrape-interval", 15*time.Second, "How often the metrics of each instance that shows some are scraped, and the server's own kept.",
		"Four points in the minute over which rates are looked at.")
	duration(&s.ScrapeTimeout, "scrape-timeout", 0, "How long one scrape may take.", "0: two thirds of the interval.")
	number(&s.ScrapeSamples, "scrape-samples", 50_000, "Most samples of one scrape; one with more fails as a whole.", "Ten times what a large service shows.")
	duration(&s.EventsMaxAge, "events-max-age", event.DefaultMaxAge, "How long business events are kept.", "A quarter, which is what people look back at.")
	size(&s.EventsMaxSize, "events-max-size", event.DefaultMaxBytes, "Most disk space for business events; the oldest go first.", "Some 100 million events, compressed.")
	flags.IntVar(&s.EventsRate, "events-rate", event.DefaultRate, "")
	add("events-rate", "Most business events a second that one namespace may send to this node.", "A share that leaves room for others on one disk.")
	list(&s.EventsKafkaBrokers, "events-kafka-brokers", "host:port of Kafka brokers, to which business events are forwarded.", "None: they stay here.")
	text(&s.EventsKafkaPrefix, "events-kafka-prefix", "gantry.", "Beginning of the names of Kafka's topics; the namespace and the event's topic follow.", "Says where they come from.")
	flags.BoolVar(&s.EventsKafkaTLS, "events-kafka-tls", false, "")
	add("events-kafka-tls", "Speak TLS with Kafka.", "Off: Kafka's own default.")
	text(&s.EventsKafkaCA, "events-kafka-ca", "", "PEM file with the authority of the brokers.", "Empty: the system's.")
	text(&s.EventsKafkaUser, "events-kafka-user", "", "User at Kafka, by SASL.", "Empty: none.")
	text(&s.EventsKafkaMechanism, "events-kafka-mechanism", kafka.ScramSHA512, "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.", "The one that never sends the password.")
	secret(&s.EventsKafkaPassword, "events-kafka-password", "Password of that user.", "")
	text(&s.EventsKafkaPasswordFile, "events-kafka-password-file", "", "File with that password.", "")
	list(&s.AlertAllowNetworks, "alert-allow-networks", "Addresses and networks (CIDR) that notifications may go to although they are of this machine (loopback), its link, or where clouds serve credentials.",
		"Empty: none. Whoever may publish a Receiver chooses where this node connects to; private networks are open in any case.")
	text(&s.ExternalURL, "external-url", "", "URL by which people reach this server, for links in notifications.", "Empty: the node's own HTTP address.")

	text(&s.LogLevel, "log-level", "info", "debug, info, warn or error.", "")
	text(&s.LogFormat, "log-format", "text", "text or json.", "Text is for people; log collectors want json.")
	text(&s.DebugListen, "debug-listen", "", "Loopback address for Go's profiles (/debug/pprof/).", "Empty: none.")
	return all
}
