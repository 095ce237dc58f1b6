package native

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

type accessService struct{ api *API }

func (s *accessService) Login(ctx context.Context, r *gantryv1.LoginRequest) (*gantryv1.LoginResponse, error) {
	secret, token, err := s.api.Access.Login(ctx, r.User, r.Password)
	if err != nil {
		return nil, err
	}
	return &gantryv1.LoginResponse{Token: secret, ExpiresAt: token.ExpiresAt}, nil
}

func (s *accessService) Logout(ctx context.Context, _ *gantryv1.LogoutRequest) (*gantryv1.LogoutResponse, error) {
	if err := s.api.Access.Logout(ctx); err != nil {
		return nil, err
	}
	return &gantryv1.LogoutResponse{}, nil
}

func (s *accessService) WhoAmI(ctx context.Context, _ *gantryv1.WhoAmIRequest) (*gantryv1.WhoAmIResponse, error) {
	identity := access.FromContext(ctx)
	return &gantryv1.WhoAmIResponse{Actor: identity.Actor, Grants: identity.Grants(), AuthenticationOff: s.api.Access.Disabled()}, nil
}

func (s *accessService) ListUsers(ctx context.Context, _ *gantryv1.ListUsersRequest) (*gantryv1.ListUsersResponse, error) {
	users, err := s.api.Access.ListUsers(ctx)
	if err != nil {
		return nil, err
	}
	return &gantryv1.ListUsersResponse{Users: users}, nil
}

func (s *accessService) CreateUser(ctx context.Context, r *gantryv1.CreateUserRequest) (*gantryv1.CreateUserResponse, error) {
	user, err := s.api.Access.CreateUser(ctx, r.Name, r.Password, r.Grants)
	if err != nil {
		return nil, err
	}
	return &gantryv1.CreateUserResponse{User: user}, nil
}

func (s *accessService) UpdateUser(ctx context.Context, r *gantryv1.UpdateUserRequest) (*gantryv1.UpdateUserResponse, error) {
	user, err := s.api.Access.UpdateUser(ctx, r.Name, access.UserUpdate{Password: r.Password, Grants: r.Grants, Disabled: r.Disabled})
	if err != nil {
		return nil, err
	}
	return &gantryv1.UpdateUserResponse{User: user}, nil
}

func (s *accessService) DeleteUser(ctx context.Context, r *gantryv1.DeleteUserRequest) (*gantryv1.DeleteUserResponse, error) {
	if err := s.api.Access.DeleteUser(ctx, r.Name); err != nil {
		return nil, err
	}
	return &gantryv1.DeleteUserResponse{}, nil
}

func (s *accessService) ChangePassword(ctx context.Context, r *gantryv1.ChangePasswordRequest) (*gantryv1.ChangePasswordResponse, error) {
	if err := s.api.Access.ChangePassword(ctx, r.OldPassword, r.NewPassword); err != nil {
		return nil, err
	}
	return &gantryv1.ChangePasswordResponse{}, nil
}

func (s *accessService) CreateToken(ctx context.Context, r *gantryv1.CreateTokenRequest) (*gantryv1.CreateTokenResponse, error) {
	if r.Lifetime != nil && r.Lifetime.AsDuration() <= 0 {
		return nil, fault.New(fault.Invalid, "access.bad_lifetime", "a lifetime of %v", r.Lifetime.AsDuration()).At("lifetime").
			Hinted("leave it out for a token that never expires")
	}
	token, secret, err := s.api.Access.CreateToken(ctx, r.Description, r.Grants, r.Lifetime.AsDuration())
	if err != nil {
		return nil, err
	}
	return &gantryv1.CreateTokenResponse{Token: token, Secret: secret}, nil
}

func (s *accessService) ListTokens(ctx context.Context, _ *gantryv1.ListTokensRequest) (*gantryv1.ListTokensResponse, error) {
	tokens, err := s.api.Access.ListTokens(ctx)
	if err != nil {
		return nil, err
	}
	return &gantryv1.ListTokensResponse{Tokens: tokens}, nil
}

func (s *accessService) RevokeToken(ctx context.Context, r *gantryv1.RevokeTokenRequest) (*gantryv1.RevokeTokenResponse, error) {
	if err := s.api.Access.RevokeToken(ctx, r.Id); err != nil {
		return nil, err
	}
	return &gantryv1.RevokeTokenResponse{}, nil
}

func (s *accessService) ListAudit(ctx context.Context, r *gantryv1.ListAuditRequest) (*gantryv1.ListAuditResponse, error) {
	for field, at := range map[string]*timestamppb.Timestamp{"since": r.Since, "until": r.Until} {
		if at != nil && !at.IsValid() {
			return nil, fault.New(fault.Invalid, "request.bad_time", "%v is no time", at).At(field)
		}
	}
	records, next, err := s.api.Access.ListAudit(ctx, r)
	if err != nil {
		return nil, err
	}
	return &gantryv1.ListAuditResponse{Records: records, NextPageToken: next}, nil
}
