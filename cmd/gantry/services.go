package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (c *cli) servicesCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "services [SEARCH]",
		Short: "List services, and how many of their instances take traffic",
		Example: `  gantry services
  gantry services loan
  gantry services -A -o wide`,
		Args:              arguments(0, 1),
		ValidArgsFunction: c.completeServices,
		RunE: action(func(ctx context.Context, args []string) error {
			search := ""
			if len(args) == 1 {
				search = args[0]
			}
			namespace, err := c.scope(all)
			if err != nil {
				return err
			}
			services, err := c.listServices(ctx, namespace, search, 0)
			if err != nil {
				return err
			}
			return answerList(c, services, func() *table { return c.servicesTable(services, all) })
		}),
	}
	allFlag(cmd, &all)
	return cmd
}

// allFlag adds --all-namespaces.
func allFlag(cmd *cobra.Command, all *bool) {
	cmd.Flags().BoolVarP(all, "all-namespaces", "A", false, "every namespace that you may see")
}

// scope is the namespace to ask for; empty for all.
func (c *cli) scope(all bool) (string, error) {
	if !all {
		return c.namespace()
	}
	if c.flags.namespace != "" {
		return "", fault.New(fault.Invalid, "cli.usage", "--namespace and --all-namespaces are both given").Hinted("give one of them")
	}
	return "", nil
}

// listServices asks for all pages, or for the first few when most is above 0.
func (c *cli) listServices(ctx context.Context, namespace, search string, most int) ([]*gantryv1.Service, error) {
	r, err := c.connect()
	if err != nil {
		return nil, err
	}
	var services []*gantryv1.Service
	for token := ""; ; {
		page, err := r.instances.ListServices(ctx, &gantryv1.ListServicesRequest{Namespace: namespace, Search: search, PageSize: pageSize, PageToken: token})
		if err != nil {
			return nil, err
		}
		services = append(services, page.GetServices()...)
		if token = page.GetNextPageToken(); token == "" || most > 0 && len(services) >= most {
			return services, nil
		}
	}
}

func (c *cli) servicesTable(services []*gantryv1.Service, all bool) *table {
	namespace := wide("NAMESPACE")
	namespace.wide = !all
	t := newTable("There are no such services.", namespace, wide("GROUP"), col("SERVICE"), number("INSTANCES"), number("AVAILABLE"),
		col("STATE"), col("VERSIONS"), col("PROTOCOLS"), wide("PROTECT"), wide("SUBSCRIBERS"))
	paint := c.painter()
	for _, s := range services {
		state := cell{"ok", paint.green}
		switch {
		case s.GetProtected():
			state = cell{"protected", paint.yellow}
		case s.GetInstances() == 0:
			state = cell{"empty", paint.faint}
		case s.GetAvailable() == 0:
			state = cell{"unavailable", paint.red}
		case s.GetAvailable() < s.GetInstances():
			state = cell{"reduced", paint.yellow}
		}
		protect := "-"
		if settings := s.GetSettings(); settings != nil && settings.ProtectThreshold != nil {
			protect = decimal(settings.GetProtectThreshold())
		}
		t.add(s.GetRef().GetNamespace(), s.GetRef().GetGroup(), s.GetRef().GetService(), s.GetInstances(), s.GetAvailable(), state,
			dash(strings.Join(s.GetVersions(), ",")), dash(strings.Join(s.GetProtocols(), ",")), protect, s.GetSubscribers())
	}
	return t
}

// groupFlag adds --group to a command about one service.
func groupFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVarP(name, "group", "g", "default", "`group` of the service")
}

// serviceRef names a service of the namespace to work in.
func (c *cli) serviceRef(group, service string) (*gantryv1.ServiceRef, error) {
	namespace, err := c.namespace()
	if err != nil {
		return nil, err
	}
	return &gantryv1.ServiceRef{Namespace: namespace, Group: group, Service: service}, nil
}

func (c *cli) serviceCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "service",
		Short:   "Set what holds for a whole service",
		Example: `  gantry service configure loan --protect-threshold 0.3`,
	}, c.serviceConfigureCommand())
}

func (c *cli) serviceConfigureCommand() *cobra.Command {
	var inGroup string
	var threshold float64
	var metadata []string
	var clearMetadata bool
	cmd := &cobra.Command{
		Use:   "configure SERVICE",
		Short: "Set the protect threshold and the metadata of a service; what is not named stays",
		Example: `  gantry service configure loan --protect-threshold 0.3
  gantry service configure loan --metadata owner=lending --metadata tier=1`,
		Args:              arguments(1, 1),
		ValidArgsFunction: c.completeServices,
	}
	groupFlag(cmd, &inGroup)
	cmd.Flags().Float64Var(&threshold, "protect-threshold", 0, "keep instances when more than this `share`, 0 to 1, is lost at once; 0 turns it off")
	cmd.Flags().StringArrayVar(&metadata, "metadata", nil, "`key=value`, may be repeated; replaces all metadata of the service")
	cmd.Flags().BoolVar(&clearMetadata, "clear-metadata", false, "remove all metadata of the service")
	cmd.RunE = action(func(ctx context.Context, args []string) error {
		changed := cmd.Flags().Changed
		switch {
		case !changed("protect-threshold") && !changed("metadata") && !clearMetadata:
			return usage(cmd, "nothing to set: give --protect-threshold, --metadata or --clear-metadata")
		case changed("metadata") && clearMetadata:
			return usage(cmd, "--metadata and --clear-metadata are both given")
		}
		values, err := parsePairs("metadata", metadata)
		if err != nil {
			return err
		}
		ref, err := c.serviceRef(inGroup, args[0])
		if err != nil {
			return err
		}
		settings, err := c.serviceSettings(ctx, ref)
		if err != nil {
			return err
		}
		if changed("protect-threshold") {
			settings.ProtectThreshold = &threshold
		}
		if changed("metadata") || clearMetadata {
			settings.Metadata = values
		}
		if _, err := c.remote.instances.ConfigureService(ctx, &gantryv1.ConfigureServiceRequest{Service: ref, Settings: settings}); err != nil {
			return err
		}
		return c.answer(settings, func() error { return c.say("%s is configured", args[0]) })
	})
	return cmd
}

// serviceSettings reads what is set for a service. A service that nobody registered can be configured too.
func (c *cli) serviceSettings(ctx context.Context, ref *gantryv1.ServiceRef) (*gantryv1.ServiceSettings, error) {
	services, err := c.listServices(ctx, ref.GetNamespace(), ref.GetService(), 0)
	if err != nil {
		return nil, err
	}
	for _, s := range services {
		if s.GetRef().GetService() == ref.GetService() && s.GetRef().GetGroup() == ref.GetGroup() && s.GetSettings() != nil {
			return s.GetSettings(), nil
		}
	}
	return &gantryv1.ServiceSettings{}, nil
}
