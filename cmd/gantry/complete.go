package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

const (
	// completionTimeout bounds what a shell waits for after the tab key.
	completionTimeout = time.Second
	// maxSuggestions is more than anybody reads.
	maxSuggestions = 100
)

// suggest asks the server for suggestions that start with what was typed. Whatever goes wrong, there are none: a
// shell has no place for an error.
func (c *cli) suggest(cmd *cobra.Command, typed string, ask func(ctx context.Context) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	words, err := ask(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	words = slices.DeleteFunc(words, func(word string) bool {
		// A shell would take a line's end for the next suggestion, and a tab for a description.
		return !strings.HasPrefix(word, typed) || word != printable(word)
	})
	slices.Sort(words)
	words = slices.Compact(words)
	return words[:min(len(words), maxSuggestions)], cobra.ShellCompDirectiveNoFileComp
}

func (c *cli) completeNamespaces(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return c.suggest(cmd, typed, func(ctx context.Context) ([]string, error) {
		r, err := c.connect()
		if err != nil {
			return nil, err
		}
		listed, err := r.instances.ListNamespaces(ctx, &gantryv1.ListNamespacesRequest{})
		var names []string
		for _, n := range listed.GetNamespaces() {
			names = append(names, n.GetName())
		}
		return names, err
	})
}

func (c *cli) completeServices(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return c.suggest(cmd, typed, func(ctx context.Context) ([]string, error) {
		namespace, err := c.namespace()
		if err != nil {
			return nil, err
		}
		services, err := c.listServices(ctx, namespace, typed, maxSuggestions)
		var names []string
		for _, s := range services {
			names = append(names, s.GetRef().GetService())
		}
		return names, err
	})
}

// completeInstances completes SERVICE and then ID.
func (c *cli) completeInstances(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return c.completeServices(cmd, args, typed)
	case 1:
		return c.suggest(cmd, typed, func(ctx context.Context) ([]string, error) {
			inGroup, err := cmd.Flags().GetString("group")
			if err != nil {
				return nil, err
			}
			ref, err := c.serviceRef(inGroup, args[0])
			if err != nil {
				return nil, err
			}
			r, err := c.connect()
			if err != nil {
				return nil, err
			}
			found, err := r.instances.Lookup(ctx, &gantryv1.LookupRequest{Service: ref})
			var ids []string
			for _, i := range found.GetInstances() {
				ids = append(ids, i.GetId())
			}
			return ids, err
		})
	default:
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

func (c *cli) completeKinds(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return policy.Standard().Kinds(), cobra.ShellCompDirectiveNoFileComp
}

// completeDocuments completes KIND and then NAME.
func (c *cli) completeDocuments(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		if strings.Contains(typed, "/") {
			return c.completeDocumentPaths(cmd, args, typed)
		}
		return c.completeKinds(cmd, args, typed)
	case 1:
		return c.suggest(cmd, typed, func(ctx context.Context) ([]string, error) { return c.documentNames(ctx, kindOf(args[0]), typed, "") })
	default:
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeDocumentPaths completes KIND/NAME in one word.
func (c *cli) completeDocumentPaths(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	kind, name, both := strings.Cut(typed, "/")
	if !both {
		var kinds []string
		for _, known := range policy.Standard().Kinds() {
			kinds = append(kinds, known+"/")
		}
		return kinds, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	return c.suggest(cmd, typed, func(ctx context.Context) ([]string, error) { return c.documentNames(ctx, kindOf(kind), name, kind+"/") })
}

func (c *cli) documentNames(ctx context.Context, kind, typed, prefix string) ([]string, error) {
	namespace, err := c.namespace()
	if err != nil {
		return nil, err
	}
	documents, err := c.documents(ctx, &gantryv1.ListRequest{Namespace: namespace, Kind: kind, Search: typed}, maxSuggestions)
	var names []string
	for _, d := range documents {
		names = append(names, prefix+d.GetRef().GetName())
	}
	return names, err
}

// completeVersions completes a flag that takes a version of the document named by the arguments.
func (c *cli) completeVersions(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return c.suggest(cmd, typed, func(ctx context.Context) ([]string, error) {
		if len(args) == 0 {
			return nil, nil
		}
		ref, err := c.documentRef(args)
		if err != nil {
			return nil, err
		}
		r, err := c.connect()
		if err != nil {
			return nil, err
		}
		history, err := r.releases.History(ctx, &gantryv1.HistoryRequest{Ref: ref, Limit: maxSuggestions})
		var versions []string
		for _, v := range history.GetVersions() {
			versions = append(versions, strconv.FormatInt(v.GetVersion(), 10))
		}
		return versions, err
	})
}

func (c *cli) completeTokens(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return c.suggest(cmd, typed, func(ctx context.Context) ([]string, error) {
		r, err := c.connect()
		if err != nil {
			return nil, err
		}
		listed, err := r.access.ListTokens(ctx, &gantryv1.ListTokensRequest{})
		var ids []string
		for _, t := range listed.GetTokens() {
			ids = append(ids, t.GetId())
		}
		return ids, err
	})
}

func (c *cli) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a script that completes commands, kinds, names and more in a shell",
		Example: `  source <(gantry completion bash)
  gantry completion zsh > "${fpath[1]}/_gantry"
  gantry completion fish > ~/.config/fish/completions/gantry.fish
  gantry completion powershell | Out-String | Invoke-Expression`,
		Args:      arguments(1, 1),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(c.out, true)
			case "zsh":
				return root.GenZshCompletion(c.out)
			case "fish":
				return root.GenFishCompletion(c.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(c.out)
			default:
				return fault.New(fault.Invalid, "cli.usage", "%q is no shell that can be completed", args[0]).Hinted("use one of %s", strings.Join(shells, ", "))
			}
		},
	}
}
