package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sort"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/gantry-platform/gantry/internal/fault"
)

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
	if err := s.completeMemory(); err != nil {
		return err
	}
	if err := s.completeAlerts(); err != nil {
		return err
	}
	if err := s.completeMetrics(); err != nil {
		return err
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
	if s.TracesSampleShare < 0 || s.TracesSampleShare > 1 {
		return fault.New(fault.Invalid, "setting.bad_value", "%g is no share", s.TracesSampleShare).At("traces-sample-share").Hinted("use a number from 0 to 1; 1 keeps all")
	}
	if s.Authentication == "off" {
		// Their defaults are open to all, which does not go with it.
		for name, address := range map[string]*string{"otlp-grpc-listen": &s.OTLPGRPCListen, "otlp-http-listen": &s.OTLPHTTPListen} {
			if s.set[name] == "" && strings.HasPrefix(*address, ":") {
				*address = "127.0.0.1" + *address
			}
		}
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
		loopback("dns-listen", &s.DNSListen, "127.0.0.1:8600")
	}
	if s.set["http-listen"] == "" {
		loopback("otlp-grpc-listen", &s.OTLPGRPCListen, "127.0.0.1:4317")
		loopback("otlp-http-listen", &s.OTLPHTTPListen, "127.0.0.1:4318")
	} else {
		// A server beside the usual one, such as a test's: it must not take the usual ports.
		loopback("otlp-grpc-listen", &s.OTLPGRPCListen, "")
		loopback("otlp-http-listen", &s.OTLPHTTPListen, "")
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
	for name, address := range map[string]string{"dns-listen": s.DNSListen, "otlp-grpc-listen": s.OTLPGRPCListen, "otlp-http-listen": s.OTLPHTTPListen} {
		if address != "" {
			listens[name] = address
		}
	}
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
