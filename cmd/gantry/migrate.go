package main

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/migrate"
)

// migration is one migrate under way: what was asked for.
type migration struct {
	kind string
	// Where the source is, and as whom to ask it.
	url, user, passwordFile, tokenFile, ca string
	namespaces                             []string
	copying                                migrate.CopyOptions
	mirror, mirrorOnly                     bool
	interval, keep                         time.Duration
	// What some sources have alone.
	configs, groups []string
	prefix          string
	apollo          migrate.ApolloOptions
	owners          []string
}

func (c *cli) migrateCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "migrate",
		Short: "Move a fleet here from Nacos, Eureka, Consul or Apollo",
		Long: `Move a fleet here from Nacos, Eureka, Consul or Apollo: copy its configuration, and mirror instances both ways
while its services change their address one by one. docs/migrating.md says in which order.`,
		Example: `  gantry migrate from nacos --url http://nacos:8848 --dry-run
  gantry migrate from eureka --url http://eureka:8761/eureka --mirror`,
	}, group(&cobra.Command{
		Use:   "from",
		Short: "Copy configuration from another system, and mirror instances with it",
		Example: `  gantry migrate from nacos --url http://nacos:8848 --release --mirror
  gantry migrate from apollo --url http://portal:8070 --source-token-file portal-token`,
	}, c.migrateNacosCommand(), c.migrateEurekaCommand(), c.migrateConsulCommand(), c.migrateApolloCommand()))
}

// migrateLong is what the help of all four says.
const migrateLong = `

Credentials for the source come from files or the environment: --source-user or GANTRY_SOURCE_USER, --source-password-file
or GANTRY_SOURCE_PASSWORD, --source-token-file or GANTRY_SOURCE_TOKEN.`

const copyLong = `

Copying can be repeated: it takes what has changed in the source since. A document that somebody wrote or changed in Gantry is not
replaced without --overwrite. Documents are published, and put in force with --release. What is not taken is reported with
the reason, and the exit code is 8 then.`

const mirrorLong = `

With --mirror, instances of the source appear in Gantry, and those of Gantry in the source, until the command is stopped; then its copies are
taken back. Copies carry the metadata ` + migrate.MarkFrom + ` and are never copied on. An instance that is registered on
both sides is not copied: the provider has moved over.`

func (c *cli) migrateNacosCommand() *cobra.Command {
	m := migration{kind: "nacos"}
	cmd := c.sourceCommand(&m, &cobra.Command{
		Short: "Move from Nacos (1.x, 2.x and 3.x)",
		Long: `Move from Nacos. Its namespaces become namespaces of Gantry, the public one "default"; a configuration becomes the document
"group/dataId", or "dataId" in DEFAULT_GROUP, as Nacos's clients find it in Gantry.` + copyLong + mirrorLong + migrateLong,
		Example: `  gantry migrate from nacos --url http://nacos:8848 --dry-run
  GANTRY_SOURCE_PASSWORD=... gantry migrate from nacos --url http://nacos:8848 --source-user nacos --release
  gantry migrate from nacos --url http://nacos:8848 --namespace public=default --namespace 5f8d=staging --mirror`,
	})
	f := cmd.Flags()
	m.copyFlags(cmd)
	m.mirrorFlags(cmd, migrate.NacosInterval)
	f.StringArrayVarP(&m.namespaces, "namespace", "n", nil, "take this namespace, `id=target`; may be repeated (default: all, under their own names)")
	f.StringArrayVar(&m.configs, "config", nil, "take this configuration alone, `group/dataId`, which needs no right to list; may be repeated")
	f.StringArrayVar(&m.groups, "group", nil, "`group` of services to mirror from a server that does not list all groups; may be repeated (default DEFAULT_GROUP)")
	return cmd
}

func (c *cli) migrateEurekaCommand() *cobra.Command {
	m := migration{kind: "eureka"}
	cmd := c.sourceCommand(&m, &cobra.Command{
		Short: "Move from Eureka",
		Long: `Move from Eureka. It has no configuration, so this mirrors instances, and needs --mirror or --mirror-only.

An application becomes the service that its vipAddress names, or else its name in small letters.` + mirrorLong + migrateLong,
		Example: `  gantry migrate from eureka --url http://eureka:8761/eureka --mirror
  gantry migrate from eureka --url http://eureka:8761/eureka --mirror --namespace staging`,
	})
	m.mirrorFlags(cmd, migrate.EurekaInterval)
	cmd.Flags().StringArrayVarP(&m.namespaces, "namespace", "n", nil, "`namespace` of Gantry that stands for the source (default: the one to work in)")
	return cmd
}

func (c *cli) migrateConsulCommand() *cobra.Command {
	m := migration{kind: "consul"}
	cmd := c.sourceCommand(&m, &cobra.Command{
		Short: "Move from Consul",
		Long: `Move from Consul. Its keys become documents of the kind KeyValue under the same names, which Consul's clients find in
Gantry once they are released. Flags and locks are not copied.

To mirror, name an agent: the instances of Gantry are registered with it.` + copyLong + mirrorLong + migrateLong,
		Example: `  gantry migrate from consul --url http://consul:8500 --dry-run
  gantry migrate from consul --url http://consul:8500 --prefix config/ --release
  gantry migrate from consul --url http://consul:8500 --mirror-only --namespace staging`,
	})
	m.copyFlags(cmd)
	m.mirrorFlags(cmd, 0)
	cmd.Flags().StringVar(&m.prefix, "prefix", "", "take the keys that begin with this `prefix`")
	cmd.Flags().StringArrayVarP(&m.namespaces, "namespace", "n", nil, "`namespace` of Gantry that stands for the source (default: the one to work in)")
	return cmd
}

func (c *cli) migrateApolloCommand() *cobra.Command {
	m := migration{kind: "apollo"}
	cmd := c.sourceCommand(&m, &cobra.Command{
		Short: "Move from Apollo",
		Long: `Move from Apollo, by its portal's open API. An environment becomes the namespace of Gantry of its name in small letters, and a
namespace of an application the document "app/namespace.properties", as Apollo's clients find it in Gantry. What was last
released is taken; what was never released is published as a draft.

Where there is no portal, --namespace-name reads from a config service: those namespaces of each --app. The token is then the
application's access key, if it has one.` + copyLong + migrateLong,
		Example: `  gantry migrate from apollo --url http://portal:8070 --source-token-file portal-token --dry-run
  gantry migrate from apollo --url http://portal:8070 --namespace PRO=production --release
  gantry migrate from apollo --url http://config:8080 --app loan --namespace-name application --namespace production`,
	})
	m.copyFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVarP(&m.namespaces, "namespace", "n", nil, "take this environment, `ENV=target`; from a config service, the target alone; may be repeated (default: all)")
	f.StringArrayVar(&m.apollo.Apps, "app", nil, "take this `application`; may be repeated (default: all that the token may see)")
	f.StringArrayVar(&m.owners, "public", nil, "which application owns a public namespace, `namespace=app`, where several have it; may be repeated")
	f.StringArrayVar(&m.apollo.NamespaceNames, "namespace-name", nil, "read this `namespace` of Apollo from a config service; may be repeated")
	f.StringArrayVar(&m.apollo.Clusters, "cluster", nil, "read this `cluster` from a config service; may be repeated (default: default)")
	return cmd
}

// sourceCommand fills in what all sources have in common.
func (c *cli) sourceCommand(m *migration, cmd *cobra.Command) *cobra.Command {
	cmd.Use = m.kind + " --url URL"
	cmd.Args = arguments(0, 0)
	f := cmd.Flags()
	f.StringVar(&m.url, "url", "", "`address` of the source")
	f.StringVar(&m.user, "source-user", "", "`user` of the source (GANTRY_SOURCE_USER)")
	f.StringVar(&m.passwordFile, "source-password-file", "", "`file` with that user's password (GANTRY_SOURCE_PASSWORD is the password itself)")
	f.StringVar(&m.tokenFile, "source-token-file", "", "`file` with a token of the source (GANTRY_SOURCE_TOKEN is the token itself)")
	f.StringVar(&m.ca, "source-ca", "", "`file` with the certificates to trust for the source (default: the system's)")
	cmd.RunE = action(func(ctx context.Context, _ []string) error { return c.migrate(ctx, cmd, m) })
	return cmd
}

func (m *migration) copyFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&m.copying.DryRun, "dry-run", false, "say what would be taken, and change nothing")
	f.BoolVar(&m.copying.Release, "release", false, "put what is taken in force for everyone")
	f.BoolVar(&m.copying.Overwrite, "overwrite", false, "replace what was written, changed or deleted in Gantry")
	f.StringArrayVar(&m.copying.Only, "only", nil, "take the documents whose name matches this `glob` (* within a part, ** over parts); may be repeated")
	f.StringArrayVar(&m.copying.Sensitive, "sensitive", nil, "publish the documents that match this `glob` as sensitive; may be repeated")
}

func (m *migration) mirrorFlags(cmd *cobra.Command, interval time.Duration) {
	f := cmd.Flags()
	f.BoolVar(&m.mirror, "mirror", false, "mirror instances both ways until stopped, after copying")
	f.BoolVar(&m.mirrorOnly, "mirror-only", false, "mirror instances, and copy no configuration")
	f.DurationVar(&m.keep, "keep", migrate.DefaultKeep, "how long the instances of a side that is away stay in the other")
	if interval > 0 {
		f.DurationVar(&m.interval, "interval", interval, "`time` between two looks at the source's instances")
	}
}

// least and most of --interval and --keep.
const (
	leastInterval = 200 * time.Millisecond
	mostInterval  = time.Hour
)

func (c *cli) migrate(ctx context.Context, cmd *cobra.Command, m *migration) error {
	if err := m.check(cmd); err != nil {
		return err
	}
	connection, err := c.source(m)
	if err != nil {
		return err
	}
	r, err := c.connect()
	if err != nil {
		return err
	}
	incomplete := false
	if !m.mirrorOnly && m.kind != "eureka" {
		source, err := c.configSource(m, connection)
		if err != nil {
			return err
		}
		complete, err := c.copyConfiguration(ctx, r, m, source, connection.URL)
		if err != nil {
			return err
		}
		incomplete = !complete
	}
	if m.mirror || m.mirrorOnly {
		if err := c.mirrorInstances(ctx, r, m, connection); err != nil {
			return err
		}
	}
	if incomplete {
		return exitStatus(exitIncomplete)
	}
	return nil
}

// check refuses what does not go together.
func (m *migration) check(cmd *cobra.Command) error {
	mirrors := m.mirror || m.mirrorOnly
	switch {
	case m.url == "":
		return usage(cmd, "say where %s is, by --url", m.kind)
	case m.kind == "eureka" && !mirrors:
		return fault.New(fault.Invalid, "migrate.no_configuration", "Eureka has no configuration to copy").Hinted("add --mirror to mirror its instances")
	case mirrors && m.copying.DryRun:
		return usage(cmd, "--dry-run changes nothing, and mirroring registers instances")
	case len(m.apollo.NamespaceNames) > 0 && len(m.apollo.Apps) == 0:
		return usage(cmd, "a config service cannot list applications: name them by --app")
	case len(m.apollo.Clusters) > 0 && len(m.apollo.NamespaceNames) == 0:
		return usage(cmd, "--cluster is for a config service, with --namespace-name")
	case mirrors && (m.keep < time.Second || m.keep > 24*time.Hour):
		return fault.New(fault.Invalid, "cli.usage", "a time of %v", m.keep).At("keep").Hinted("use 1s to 24h")
	case mirrors && m.interval != 0 && (m.interval < leastInterval || m.interval > mostInterval):
		return fault.New(fault.Invalid, "cli.usage", "a time of %v", m.interval).At("interval").Hinted("use %v to %v", leastInterval, mostInterval)
	}
	return nil
}

// source finds out where the source is and as whom to ask it.
func (c *cli) source(m *migration) (migrate.Connection, error) {
	var to migrate.Connection
	u, err := parseAddress(m.url)
	if err != nil {
		f := *c.explain(err)
		f.Field = "url"
		f.Hint = "write it as http://host:port, with the path that the system stands under where it has one, and credentials by --source-user and the like"
		return to, &f
	}
	to.URL, to.Timeout = u, c.flags.timeout
	to.User = first(m.user, c.env("GANTRY_SOURCE_USER"))
	if to.Password, err = c.secret(m.passwordFile, "GANTRY_SOURCE_PASSWORD"); err != nil {
		return to, err
	}
	if to.Token, err = c.secret(m.tokenFile, "GANTRY_SOURCE_TOKEN"); err != nil {
		return to, err
	}
	if to.User == "" && to.Password != "" {
		return to, fault.New(fault.Invalid, "cli.usage", "there is a password for the source, and no user").Hinted("name the user by --source-user")
	}
	if m.ca != "" {
		to.CA, err = readCertificates(m.ca)
	}
	return to, err
}

// secret is the content of a file, or else an environment variable.
func (c *cli) secret(file, variable string) (string, error) {
	if file == "" {
		return c.env(variable), nil
	}
	text, err := readSecretFile(file, maxTokenFile)
	if err != nil {
		return "", err
	}
	text = strings.TrimRight(text, "\r\n")
	if strings.ContainsAny(text, "\r\n\x00") {
		return "", fault.New(fault.Invalid, "cli.invalid_secret", "%s has more than one line", file).Hinted("it seems to be another file")
	}
	return text, nil
}

// namespaceMap reads the --namespace flags of sources that have namespaces. One without a target keeps its name.
func (m *migration) namespaceMap(own func(string) string) (migrate.Namespaces, error) {
	targets := map[string]string{}
	for _, text := range m.namespaces {
		source, target, mapped := strings.Cut(text, "=")
		if !mapped {
			target = own(source)
		}
		if _, double := targets[source]; double || source == "" || target == "" {
			return migrate.Namespaces{}, fault.New(fault.Invalid, "cli.usage", "%q maps no namespace, or one for the second time", text).At("namespace").
				Hinted("write it as source=target")
		}
		targets[source] = target
	}
	return migrate.NewNamespaces(targets), nil
}

// target is the one namespace of Gantry that stands for a source without namespaces.
func (c *cli) migrateTarget(m *migration) (string, error) {
	switch {
	case len(m.namespaces) > 1 || len(m.namespaces) == 1 && strings.Contains(m.namespaces[0], "="):
		return "", fault.New(fault.Invalid, "cli.usage", "%s has no namespaces: one of Gantry stands for all of it", m.kind).At("namespace").Hinted("name that one alone")
	case len(m.namespaces) == 1:
		return m.namespaces[0], nil
	}
	return c.namespace()
}

func (c *cli) configSource(m *migration, connection migrate.Connection) (migrate.ConfigSource, error) {
	switch m.kind {
	case "nacos":
		namespaces, err := m.namespaceMap(nacosName)
		return migrate.NacosConfigs(connection, namespaces, m.configs), err
	case "consul":
		target, err := c.migrateTarget(m)
		return migrate.ConsulKeys(connection, target, m.prefix), err
	}
	owners, err := parsePairs("public", m.owners)
	if err != nil {
		return nil, err
	}
	m.apollo.Owners = owners
	if len(m.apollo.NamespaceNames) > 0 {
		target, err := c.migrateTarget(m)
		return migrate.ApolloConfigs(connection, migrate.NewNamespaces(map[string]string{"": target}), m.apollo), err
	}
	namespaces, err := m.namespaceMap(strings.ToLower)
	return migrate.ApolloConfigs(connection, namespaces, m.apollo), err
}

func nacosName(id string) string {
	if id == "public" {
		return "default"
	}
	return id
}

// registries are the two sides of a mirror.
func (c *cli) registries(ctx context.Context, r *remote, m *migration, connection migrate.Connection) (source, here migrate.Registry, err error) {
	var namespaces []string
	switch m.kind {
	case "nacos":
		mapped, err := m.namespaceMap(nacosName)
		if err != nil {
			return nil, nil, err
		}
		if source, namespaces, err = migrate.NacosRegistry(ctx, connection, mapped, m.groups, m.interval); err != nil {
			return nil, nil, err
		}
	default:
		target, err := c.migrateTarget(m)
		if err != nil {
			return nil, nil, err
		}
		namespaces = []string{target}
		if m.kind == "eureka" {
			source = migrate.EurekaRegistry(connection, target, m.interval)
		} else {
			source = migrate.ConsulRegistry(connection, target)
		}
	}
	if err := migrate.EnsureNamespaces(ctx, r.instances, m.kind, namespaces); err != nil {
		source.Close()
		return nil, nil, err
	}
	return source, migrate.NewGantry(r.instances, m.kind, namespaces), nil
}

// sourceName is how reports and marks call a source: without what is no part of its place.
func sourceName(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }
