package server

import (
	"fmt"
	"strings"
)

// Reference is docs/configuration.md: every setting with its default and the reason of it.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Settings of the server

<!-- Written by: go run ./cmd/gantry settings-markdown > docs/configuration.md -->

A setting is a flag of ` + "`gantry server`" + `, an environment variable, or a line of a YAML file (` + "`--config FILE` or `GANTRY_CONFIG`" + `). Flags win over
the environment, which wins over the file. An unknown name in the file is refused with the name that was probably meant. Settings that hold secrets have no
flag, because everyone on a machine sees its command lines; each has a file beside it.

` + "```yaml" + `
# gantry.yaml
data: /var/lib/gantry
http-listen: ":8848"
tls-certificate: /etc/gantry/tls.pem
tls-key: /etc/gantry/tls.key
cluster: [n1=10.0.0.1, n2=10.0.0.2, n3=10.0.0.3]
cluster-secret-file: /etc/gantry/cluster.secret
` + "```" + `

` + "`gantry server --print-settings`" + ` prints what would be in force and where each value comes from.

| setting | environment | default | meaning |
|---|---|---|---|
`)
	for _, setting := range (&Settings{}).Bind() {
		name := "`--" + setting.Name + "`"
		if setting.Secret {
			name = "`" + setting.Name + "` (no flag)"
		}
		value := ""
		if setting.Default != "" {
			value = "`" + setting.Default + "`"
		}
		meaning := setting.Meaning
		if setting.Why != "" {
			meaning += " *Default: " + setting.Why + "*"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", name, setting.Env(), value, strings.ReplaceAll(meaning, "|", "\\|"))
	}
	return b.String()
}
