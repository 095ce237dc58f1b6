package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (c *cli) tokenCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "token",
		Short: "Manage the tokens of services and programs",
		Example: `  gantry token create --grant default=service --description "loan service"
  gantry token list`,
	}, c.tokenCreateCommand(), c.tokenListCommand(), c.tokenRevokeCommand())
}

func (c *cli) tokenCreateCommand() *cobra.Command {
	var grants []string
	var description string
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a token; its secret is shown this once",
		Long: `Create a token. Its secret stands alone on standard output, so that a shell can catch it, and is shown this
once; with -o json or yaml it is in the answer's field secret.`,
		Example: `  gantry token create --grant default=service --description "loan service"
  GANTRY_TOKEN=$(gantry token create --grant default=releaser --lifetime 1h --description deploy)`,
		Args: arguments(0, 0),
	}
	grantFlag(cmd, &grants, "what the token may do")
	cmd.Flags().StringVar(&description, "description", "", "`what` it is for")
	cmd.Flags().DurationVar(&lifetime, "lifetime", 0, "`how long` it holds, such as 720h; default: for ever")
	cmd.RunE = action(func(ctx context.Context, _ []string) error {
		parsed, err := parseGrants(grants)
		if err != nil {
			return err
		}
		if len(parsed) == 0 {
			return usage(cmd, "a token without --grant could do nothing")
		}
		request := &gantryv1.CreateTokenRequest{Description: description, Grants: parsed}
		if cmd.Flags().Changed("lifetime") {
			if lifetime <= 0 {
				return fault.New(fault.Invalid, "cli.usage", "a lifetime of %v", lifetime).At("lifetime").Hinted("give a time above 0, or leave it out for a token that never expires")
			}
			request.Lifetime = durationpb.New(lifetime)
		}
		r, err := c.connect()
		if err != nil {
			return err
		}
		created, err := r.access.CreateToken(ctx, request)
		if err != nil {
			return err
		}
		return c.answer(created, func() error {
			until := "does not expire"
			if at := created.GetToken().GetExpiresAt(); at != nil {
				until = "expires at " + clock(at)
			}
			fmt.Fprintf(c.errOut, "token %s with %s %s; its secret is shown this once:\n", printable(created.GetToken().GetId()), grantsText(parsed), until)
			return c.say("%s", created.GetSecret())
		})
	})
	return cmd
}

func (c *cli) tokenListCommand() *cobra.Command {
	var logins bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List tokens; their secrets are not stored",
		Example: `  gantry token list --logins`,
		Args:    arguments(0, 0),
		RunE: action(func(ctx context.Context, _ []string) error {
			r, err := c.connect()
			if err != nil {
				return err
			}
			listed, err := r.access.ListTokens(ctx, &gantryv1.ListTokensRequest{})
			if err != nil {
				return err
			}
			var tokens []*gantryv1.Token
			for _, t := range listed.GetTokens() {
				if logins || t.GetUser() == "" {
					tokens = append(tokens, t)
				}
			}
			return answerList(c, tokens, func() *table { return c.tokensTable(tokens) })
		}),
	}
	cmd.Flags().BoolVar(&logins, "logins", false, "the tokens of logins too")
	return cmd
}

func (c *cli) tokensTable(tokens []*gantryv1.Token) *table {
	t := newTable("There are no tokens.", col("ID"), col("GRANTS"), col("DESCRIPTION"), col("EXPIRES"), col("BY"), wide("AGE"), wide("LOGIN OF"))
	for _, token := range tokens {
		expires := cell{"never", nil}
		if at := token.GetExpiresAt(); at != nil {
			expires.text = clock(at)
			if at.AsTime().Before(c.now()) {
				expires = cell{"expired", c.painter().faint}
			}
		}
		t.add(token.GetId(), dash(grantsText(token.GetGrants())), dash(token.GetDescription()), expires, dash(token.GetAuthor()),
			c.age(token.GetCreatedAt()), dash(token.GetUser()))
	}
	return t
}

func (c *cli) tokenRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "revoke ID",
		Short:             "End a token at once, on every node",
		Example:           `  gantry token revoke 3f2a9c`,
		Args:              arguments(1, 1),
		ValidArgsFunction: c.completeTokens,
		RunE: action(func(ctx context.Context, args []string) error {
			r, err := c.connect()
			if err != nil {
				return err
			}
			revoked, err := r.access.RevokeToken(ctx, &gantryv1.RevokeTokenRequest{Id: args[0]})
			if err != nil {
				return err
			}
			return c.answer(revoked, func() error { return c.say("token %s is revoked", args[0]) })
		}),
	}
}
