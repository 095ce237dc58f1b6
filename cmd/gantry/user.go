package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

func (c *cli) userCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "user",
		Short: "Manage the people who may sign in",
		Example: `  gantry user create ann --grant default=releaser
  gantry user list`,
	}, c.userCreateCommand(), c.userListCommand(), c.userUpdateCommand(), c.userDeleteCommand(), c.userPasswordCommand())
}

// grantFlag adds --grant.
func grantFlag(cmd *cobra.Command, grants *[]string, what string) {
	cmd.Flags().StringArrayVar(grants, "grant", nil, what+", `namespace=role`; may be repeated. Roles: viewer, developer, releaser, admin, service; '*' is every namespace")
	complete(cmd, "grant", func(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	})
}

func (c *cli) userCreateCommand() *cobra.Command {
	var grants []string
	var p passwords
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a user",
		Example: `  gantry user create ann --grant default=releaser
  head -c 18 /dev/urandom | base64 | tee ann.password | gantry user create ann --grant '*=viewer' --password-file -`,
		Args: arguments(1, 1),
		RunE: action(func(ctx context.Context, args []string) error {
			parsed, err := parseGrants(grants)
			if err != nil {
				return err
			}
			r, err := c.connect()
			if err != nil {
				return err
			}
			password, err := c.readPassword(ctx, p, fmt.Sprintf("Password for %s: ", args[0]), true)
			if err != nil {
				return err
			}
			created, err := r.access.CreateUser(ctx, &gantryv1.CreateUserRequest{Name: args[0], Password: password, Grants: parsed})
			if err != nil {
				return err
			}
			return c.answer(created.GetUser(), func() error {
				return c.say("user %s is created with %s", args[0], first(grantsText(parsed), "no grants"))
			})
		}),
	}
	grantFlag(cmd, &grants, "what the user may do")
	passwordFlag(cmd, &p, "password-file", "the password")
	return cmd
}

func (c *cli) userListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List users and what they may do",
		Example: `  gantry user list`,
		Args:    arguments(0, 0),
		RunE: action(func(ctx context.Context, _ []string) error {
			r, err := c.connect()
			if err != nil {
				return err
			}
			listed, err := r.access.ListUsers(ctx, &gantryv1.ListUsersRequest{})
			if err != nil {
				return err
			}
			return answerList(c, listed.GetUsers(), func() *table {
				t := newTable("There are no users.", col("NAME"), col("STATE"), col("GRANTS"), col("AGE"), wide("CHANGED"))
				for _, u := range listed.GetUsers() {
					state := cell{"enabled", c.painter().green}
					if u.GetDisabled() {
						state = cell{"disabled", c.painter().faint}
					}
					t.add(u.GetName(), state, dash(grantsText(u.GetGrants())), c.age(u.GetCreatedAt()), clock(u.GetChangedAt()))
				}
				return t
			})
		}),
	}
}

func (c *cli) userUpdateCommand() *cobra.Command {
	var grants []string
	var enable, disable bool
	cmd := &cobra.Command{
		Use:   "update NAME",
		Short: "Replace what a user may do, or disable or enable the user",
		Example: `  gantry user update ann --grant default=admin --grant staging=viewer
  gantry user update ann --disable`,
		Args: arguments(1, 1),
	}
	grantFlag(cmd, &grants, "what the user may do from now on, in place of all before")
	cmd.Flags().BoolVar(&disable, "disable", false, "refuse the user from now on")
	cmd.Flags().BoolVar(&enable, "enable", false, "let the user in again")
	cmd.RunE = action(func(ctx context.Context, args []string) error {
		request := &gantryv1.UpdateUserRequest{Name: args[0]}
		if cmd.Flags().Changed("grant") {
			parsed, err := parseGrants(grants)
			if err != nil {
				return err
			}
			request.Grants = &gantryv1.GrantList{Grants: parsed}
		}
		switch {
		case enable && disable:
			return usage(cmd, "--enable and --disable are both given")
		case enable || disable:
			request.Disabled = &disable
		case request.Grants == nil:
			return usage(cmd, "nothing to update: give --grant, --disable or --enable")
		}
		r, err := c.connect()
		if err != nil {
			return err
		}
		updated, err := r.access.UpdateUser(ctx, request)
		if err != nil {
			return err
		}
		return c.answer(updated.GetUser(), func() error {
			state := "enabled"
			if updated.GetUser().GetDisabled() {
				state = "disabled"
			}
			return c.say("user %s is %s, with %s", args[0], state, first(grantsText(updated.GetUser().GetGrants()), "no grants"))
		})
	})
	return cmd
}

func (c *cli) userDeleteCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete a user, and with the user the tokens of logins",
		Example: `  gantry user delete ann`,
		Args:    arguments(1, 1),
		RunE: action(func(ctx context.Context, args []string) error {
			r, err := c.connect()
			if err != nil {
				return err
			}
			if err := c.confirm(ctx, yes, "Delete user %s?", args[0]); err != nil {
				return err
			}
			deleted, err := r.access.DeleteUser(ctx, &gantryv1.DeleteUserRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return c.answer(deleted, func() error { return c.say("user %s is deleted", args[0]) })
		}),
	}
	yesFlag(cmd, &yes)
	return cmd
}

func (c *cli) userPasswordCommand() *cobra.Command {
	var next, old passwords
	cmd := &cobra.Command{
		Use:   "password [NAME]",
		Short: "Change your own password, or as an administrator that of a user",
		Long: `Change your own password, or as an administrator that of a user. On a terminal the passwords are typed
without echo; otherwise they are the lines of standard input (the old one first, when it is your own), or in files.`,
		Example: `  gantry user password
  gantry user password ann --password-file new.txt`,
		Args: arguments(0, 1),
		RunE: action(func(ctx context.Context, args []string) error {
			r, err := c.connect()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return c.setPassword(ctx, r, args[0], next)
			}
			before, err := c.readPassword(ctx, old, "Your password now: ", false)
			if err != nil {
				return err
			}
			after, err := c.readPassword(ctx, next, "Your new password: ", true)
			if err != nil {
				return err
			}
			changed, err := r.access.ChangePassword(ctx, &gantryv1.ChangePasswordRequest{OldPassword: before, NewPassword: after})
			if err != nil {
				return err
			}
			return c.answer(changed, func() error { return c.say("your password is changed") })
		}),
	}
	passwordFlag(cmd, &next, "password-file", "the new password")
	passwordFlag(cmd, &old, "old-password-file", "your password as it is now")
	return cmd
}

func (c *cli) setPassword(ctx context.Context, r *remote, name string, p passwords) error {
	password, err := c.readPassword(ctx, p, fmt.Sprintf("New password for %s: ", name), true)
	if err != nil {
		return err
	}
	updated, err := r.access.UpdateUser(ctx, &gantryv1.UpdateUserRequest{Name: name, Password: &password})
	if err != nil {
		return err
	}
	return c.answer(updated.GetUser(), func() error { return c.say("the password of %s is changed", name) })
}
