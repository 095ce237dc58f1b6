package main

import (
	"context"
	"fmt"
	"net"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (c *cli) loginCommand() *cobra.Command {
	var user string
	var p passwords
	cmd := &cobra.Command{
		Use:   "login [ADDRESS]",
		Short: "Sign in with user and password; address and token are kept for later commands",
		Long: `Sign in with user and password. Address, token, namespace and CA file are kept in
~/.config/gantry/config.yaml (GANTRY_CLI_CONFIG), readable by you alone, and are what later commands use where no flag
and no environment variable says otherwise. The token lasts 12 hours and is sent to this address alone.`,
		Example: `  gantry login https://gantry.example.com:8848 --user ann
  gantry login --user ann --password-file ~/.secret`,
		Args: arguments(0, 1),
	}
	cmd.Flags().StringVarP(&user, "user", "u", "", "`name` to sign in with; asked for on a terminal")
	passwordFlag(cmd, &p, "password-file", "the password")
	cmd.RunE = action(func(ctx context.Context, args []string) error {
		if len(args) == 1 {
			if c.flags.address != "" {
				return usage(cmd, "the address is given twice")
			}
			c.flags.address = args[0]
		}
		return c.login(ctx, user, p)
	})
	return cmd
}

func (c *cli) login(ctx context.Context, user string, p passwords) error {
	saved, err := c.load()
	if err != nil {
		return err
	}
	to, err := c.target()
	if err != nil {
		return err
	}
	to.token = "" // who signs in is nobody yet
	if to.url.Scheme == "http" && !loopback(to.url.Hostname()) {
		c.warn("the password goes to %s unencrypted", to.url)
	}
	if user == "" {
		if !c.interactive {
			return fault.New(fault.Invalid, "cli.usage", "no user is given").At("user").Hinted("add --user")
		}
		fmt.Fprint(c.errOut, "User: ")
		if user, err = await(ctx, func() (string, error) { return readLine(c.in, 256) }); err != nil {
			return err
		}
	}
	password, err := c.readPassword(ctx, p, fmt.Sprintf("Password of %s at %s: ", user, to.url), false)
	if err != nil {
		return err
	}
	if c.remote, err = newRemote(to, c.flags.timeout); err != nil {
		return err
	}
	answer, err := c.remote.access.Login(ctx, &gantryv1.LoginRequest{User: user, Password: password})
	if err != nil {
		return err
	}
	path, err := c.save(&savedConfig{Address: to.url.String(), Token: answer.GetToken(), CA: to.ca,
		Namespace: first(c.flags.namespace, saved.Namespace)})
	if err != nil {
		return err
	}
	fmt.Fprintf(c.errOut, "%s is signed in at %s until %s; the token is kept in %s\n", printable(user), to.url, clock(answer.GetExpiresAt()), path)
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *cli) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "logout",
		Short:   "End the token that login kept, here and on the server",
		Example: `  gantry logout`,
		Args:    arguments(0, 0),
		RunE: action(func(ctx context.Context, _ []string) error {
			saved, err := c.load()
			if err != nil {
				return err
			}
			if saved.Token == "" {
				return fault.New(fault.Precondition, "cli.not_signed_in", "no login is kept here").Hinted("a token of the environment or a file ends by gantry token revoke")
			}
			address, err := parseAddress(first(saved.Address, defaultAddress))
			if err != nil {
				return err
			}
			if c.remote, err = newRemote(target{url: address, token: saved.Token, ca: first(c.flags.ca, c.env("GANTRY_CA"), saved.CA)}, c.flags.timeout); err != nil {
				return err
			}
			_, ended := c.remote.access.Logout(ctx, &gantryv1.LogoutRequest{})
			// Whatever the server says, the token is of no use here any more.
			if _, err := c.save(&savedConfig{Address: saved.Address, Namespace: saved.Namespace, CA: saved.CA}); err != nil {
				return err
			}
			if ended != nil && connect.CodeOf(ended) != connect.CodeUnauthenticated {
				c.warn("the token is forgotten here, and still holds on the server until it expires")
				return ended
			}
			fmt.Fprintf(c.errOut, "signed out of %s\n", address)
			return nil
		}),
	}
}

func (c *cli) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "whoami",
		Short:   "Show who the server takes you for, and what you may do",
		Example: `  gantry whoami`,
		Args:    arguments(0, 0),
		RunE: action(func(ctx context.Context, _ []string) error {
			r, err := c.connect()
			if err != nil {
				return err
			}
			who, err := r.access.WhoAmI(ctx, &gantryv1.WhoAmIRequest{})
			if err != nil {
				return err
			}
			return c.answer(who, func() error {
				grants := dash(grantsText(who.GetGrants()))
				if who.GetAuthenticationOff() {
					grants = "everything: the server runs without authentication"
				}
				return c.printPairs("Who", who.GetActor(), "May", grants, "Server", r.address)
			})
		}),
	}
}
