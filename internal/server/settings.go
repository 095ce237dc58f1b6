package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/gantry-platform/gantry/internal/fault"
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

	LogLevel    string
	LogFormat   string
	DebugListen string

	// Bound remembers which were set, and where.
	set map[string]string
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
	current := *s
	var lines []string
	for _, setting := range (&Settings{}).Bind() {
		value := current.value(setting.Name)
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

// value is a setting's present value as text.
func (s *Settings) value(name string) string {
	held := *s
	// Bind sets defaults, so the held values are copied over them by field before they are read.
	bound := &Settings{}
	all := bound.Bind()
	*bound = held
	setting, _ := find(all, name)
	return strings.Trim(setting.value.String(), "[]")
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
	flags.IntVar(&s.EtcdMaxTxnOps, "etcd-max-txn-ops", 128, "")
	add("etcd-max-txn-ops", "That etcd's --max-txn-ops; more lets more changes share a transaction.", "etcd's own default.")
	flags.BoolVar(&s.EtcdSocket, "etcd-socket", false, "")
	add("etcd-socket", "Serve the embedded etcd on a unix socket in the data folder, for etcdctl.", "Off: whoever opens it may change everything.")

	size(&s.StateQuota, "state-quota", 4<<30, "Largest size of the embedded state.", "Far above what fits a fleet of thousands; etcd advises at most 8 GiB.")
	size(&s.MinimumFree, "minimum-free", 256<<20, "Free disk space below which nothing is written any more.", "Two log segments of etcd and room to compact.")

	text(&s.LogLevel, "log-level", "info", "debug, info, warn or error.", "")
	text(&s.LogFormat, "log-format", "text", "text or json.", "Text is for people; log collectors want json.")
	text(&s.DebugListen, "debug-listen", "", "Loopback address for Go's profiles (/debug/pprof/).", "Empty: none.")
	return all
}

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

// Load fills settings: defaults, then the file, then the environment, then the flags that were given.
func Load(file string, env func(string) string, given *pflag.FlagSet) (*Settings, error) {
	s := &Settings{set: map[string]string{}}
	all := s.Bind()
	if file == "" {
		file = env("GANTRY_CONFIG")
	}
	if file != "" {
		if err := loadFile(s, all, file); err != nil {
			return nil, err
		}
	}
	for _, setting := range all {
		if text := env(setting.Env()); text != "" {
			if err := s.apply(setting, text, "environment variable "+setting.Env()); err != nil {
				return nil, err
			}
		}
	}
	if given != nil {
		var err error
		given.Visit(func(flag *pflag.Flag) {
			for _, setting := range all {
				if setting.Name == flag.Name && err == nil {
					err = s.apply(setting, strings.Trim(flag.Value.String(), "[]"), "flag --"+flag.Name)
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return s, s.complete()
}

func (s *Settings) apply(setting Setting, text, where string) error {
	if slice, ok := setting.value.(pflag.SliceValue); ok {
		if err := slice.Replace(splitList(text)); err != nil {
			return errSetting(setting, text, where, err)
		}
	} else if err := setting.value.Set(text); err != nil {
		return errSetting(setting, text, where, err)
	}
	s.set[setting.Name] = where
	return nil
}

func errSetting(setting Setting, text, where string, err error) error {
	if setting.Secret {
		text = "(not shown)"
	}
	return fault.New(fault.Invalid, "setting.bad_value", "%q from the %s: %v", text, where, err).At(setting.Name).Hinted("%s", setting.Meaning)
}

func splitList(text string) []string {
	var all []string
	for _, part := range strings.Split(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

// loadFile reads a YAML file of settings by name.
func loadFile(s *Settings, all []Setting, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fault.New(fault.Invalid, "setting.no_file", "cannot read the settings: %v", err).At("config").Because(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return fault.New(fault.Invalid, "setting.bad_file", "%s: %v", path, err).At("config")
	}
	if len(document.Content) == 0 {
		return nil
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return fault.New(fault.Invalid, "setting.bad_file", "%s does not hold settings by name", path).At("config").On(root.Line, root.Column)
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		setting, ok := find(all, key.Value)
		if !ok {
			f := fault.New(fault.Invalid, "setting.unknown", "%s: no setting %q", path, key.Value).At(key.Value).On(key.Line, key.Column)
			return f.Hinted("%s", suggestion(all, key.Value))
		}
		text := value.Value
		if value.Kind == yaml.SequenceNode {
			var parts []string
			for _, item := range value.Content {
				parts = append(parts, item.Value)
			}
			text = strings.Join(parts, ",")
		}
		if err := s.apply(setting, text, fmt.Sprintf("file %s, line %d", path, value.Line)); err != nil {
			return err
		}
	}
	return nil
}

func find(all []Setting, name string) (Setting, bool) {
	for _, setting := range all {
		if setting.Name == name {
			return setting, true
		}
	}
	return Setting{}, false
}

// suggestion names the settings that share most with a misspelt one.
func suggestion(all []Setting, name string) string {
	type scored struct {
		name  string
		score int
	}
	var best []scored
	for _, setting := range all {
		shared := 0
		for i := 0; i+2 <= len(name); i++ {
			if strings.Contains(setting.Name, name[i:i+2]) {
				shared++
			}
		}
		if shared > 0 {
			best = append(best, scored{setting.Name, shared*10 - abs(len(setting.Name)-len(name))})
		}
	}
	sort.Slice(best, func(i, j int) bool { return best[i].score > best[j].score })
	if len(best) == 0 {
		return "`gantry server --help` lists the settings"
	}
	return fmt.Sprintf("did you mean %q? `gantry server --help` lists the settings", best[0].name)
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

// complete fills what depends on other settings and refuses what does not go together.
func (s *Settings) complete() error {
	if s.Name == "" {
		if host, err := os.Hostname(); err == nil {
			s.Name = host
		} else {
			s.Name = "gantry"
		}
	}
	if s.Dev {
		s.completeDev()
	}
	if s.Authentication != "on" && s.Authentication != "off" {
		return fault.New(fault.Invalid, "setting.bad_value", "%q is neither on nor off", s.Authentication).At("authentication")
	}
	if (s.TLSCertificate == "") != (s.TLSKey == "") {
		return fault.New(fault.Invalid, "setting.incomplete", "a certificate and its key go together").At("tls-certificate").Hinted("set --tls-certificate and --tls-key")
	}
	if len(s.EtcdEndpoints) > 0 && (len(s.Cluster) > 0 || s.Join != "") {
		return fault.New(fault.Invalid, "setting.contradiction", "the state is either on an external etcd or embedded in a cluster").At("etcd-endpoints").
			Hinted("leave out --cluster and --join: nodes on one external etcd find each other")
	}
	if len(s.Cluster) > 0 && s.Join != "" {
		return fault.New(fault.Invalid, "setting.contradiction", "a node starts a new cluster or joins one, not both").At("join").Hinted("leave out --cluster to join")
	}
	if s.Authentication == "off" {
		return s.requireLoopback()
	}
	return nil
}

func (s *Settings) completeDev() {
	loopback := func(name string, to *string, address string) {
		if s.set[name] == "" {
			*to = address
		}
	}
	loopback("http-listen", &s.HTTPListen, "127.0.0.1:8848")
	loopback("grpc-listen", &s.GRPCListen, "127.0.0.1:9848")
	loopback("advertise", &s.Advertise, "127.0.0.1")
	if s.set["http-aliases"] == "" && s.set["http-listen"] == "" {
		s.HTTPAliases = []string{"127.0.0.1:8500", "127.0.0.1:8761", "127.0.0.1:9411"}
	}
	if s.set["authentication"] == "" {
		s.Authentication = "off"
	}
	if s.set["data"] == "" {
		s.Data = ""
	}
}

// requireLoopback refuses to be open to everyone.
func (s *Settings) requireLoopback() error {
	listens := map[string]string{"http-listen": s.HTTPListen, "grpc-listen": s.GRPCListen}
	for i, alias := range s.HTTPAliases {
		listens[fmt.Sprintf("http-aliases[%d]", i)] = alias
	}
	for name, address := range listens {
		if !isLoopback(address) {
			return fault.New(fault.Precondition, "setting.open_without_authentication", "without authentication a server listens on loopback alone, not on %q", address).
				At(name).Hinted("turn --authentication on, or listen on 127.0.0.1")
		}
	}
	return nil
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// secretOf reads a secret given as text or as a file.
func secretOf(name, text, file string) (string, error) {
	if text != "" && file != "" {
		return "", fault.New(fault.Invalid, "setting.contradiction", "%s is given twice, as text and as a file", name).At(name)
	}
	if file == "" {
		return text, nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return "", fault.New(fault.Invalid, "setting.no_file", "cannot read %s: %v", name, err).At(name).Because(err)
	}
	if info.Size() > 64<<10 {
		return "", fault.New(fault.Invalid, "setting.bad_file", "the file for %s has %d bytes", name, info.Size()).At(name)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fault.New(fault.Invalid, "setting.no_file", "cannot read %s: %v", name, err).At(name).Because(err)
	}
	if strings.TrimSpace(string(data)) == "" {
		return "", fault.New(fault.Invalid, "setting.bad_file", "the file for %s is empty", name).At(name)
	}
	return strings.TrimSpace(string(data)), nil
}

var errNoAddress = errors.New("the machine has no address but loopback")

// firstAddress is the machine's first address that others could reach.
func firstAddress() (string, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && network.IP.IsGlobalUnicast() {
			return network.IP.String(), nil
		}
	}
	return "", errNoAddress
}
