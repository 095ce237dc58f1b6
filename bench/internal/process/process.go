// Package process runs a Gantry server as a child process, the way an operator runs it, and reads from the system what it
// uses. Linux alone: memory and CPU time come from /proc. Of the project it imports the generated API only.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect"

	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

const (
	// startTimeout bounds a start, with everything that a large state takes to load.
	startTimeout = 60 * time.Second
	// readyPoll is how often /readyz is asked, and so how exact the time to ready is.
	readyPoll = 2 * time.Millisecond
)

// Options say what to run.
type Options struct {
	// Binary is the path of the gantry program.
	Binary string
	// Data is the data folder. A second server on the same folder finds what the first one left.
	Data string
	// Log is the file that gets what the server prints; it is appended to.
	Log string
	// Authentication runs the server with authentication, its default.
	Authentication bool
	// Profiled opens the port for profiles.
	Profiled bool
	// Arguments are further ones.
	Arguments []string
}

// Server is a running server.
type Server struct {
	// HTTP, GRPC, OTLP (by gRPC) and Debug are the addresses of its ports; Debug is empty when it was not asked for.
	HTTP, GRPC, OTLP, Debug string
	// Token has the role of a service in all namespaces, and AdminToken that of an administrator. Both are empty without authentication.
	Token, AdminToken string
	// Ready is the time from the start of the process to the first 200 of /readyz, and ReadyMemory its memory then.
	Ready       time.Duration
	ReadyMemory Memory

	options Options
	command *exec.Cmd
	log     *os.File
	exited  chan struct{} // closed after the process was waited for
}

// Start runs a server and returns when it is ready. When ctx ends, the process is killed.
func Start(ctx context.Context, options Options) (*Server, error) {
	addresses, err := freeAddresses(5)
	if err != nil {
		return nil, err
	}
	s := &Server{HTTP: addresses[0], GRPC: addresses[1], OTLP: addresses[3], options: options, exited: make(chan struct{})}
	arguments := []string{"server", "--data", options.Data, "--http-listen", s.HTTP, "--grpc-listen", s.GRPC, "--name", "bench",
		"--otlp-grpc-listen", s.OTLP, "--otlp-http-listen", addresses[4]}
	arguments = append(arguments, options.Arguments...)
	if !options.Authentication {
		arguments = append(arguments, "--authentication", "off")
	}
	if options.Profiled {
		s.Debug = addresses[2]
		arguments = append(arguments, "--debug-listen", s.Debug)
	}
	if s.log, err = os.OpenFile(options.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, err
	}
	s.command = exec.CommandContext(ctx, options.Binary, arguments...)
	s.command.Stdout, s.command.Stderr = s.log, s.log
	s.command.Env = withoutSettings(os.Environ())
	began := time.Now()
	if err := s.command.Start(); err != nil {
		s.log.Close()
		return nil, err
	}
	go func() {
		_ = s.command.Wait() // how it ended is of interest only while it starts, and then its log says more
		s.log.Close()
		close(s.exited)
	}()
	if err := s.awaitReady(ctx, began); err != nil {
		s.Kill()
		return nil, err
	}
	if options.Authentication {
		if err := s.makeTokens(ctx); err != nil {
			s.Kill()
			return nil, err
		}
	}
	return s, nil
}

// withoutSettings leaves out what would change the server behind the benchmark's back.
func withoutSettings(environment []string) []string {
	var kept []string
	for _, variable := range environment {
		if !strings.HasPrefix(variable, "GANTRY_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

func freeAddresses(n int) ([]string, error) {
	var addresses []string
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close() // all are held at once, so that they differ
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

func (s *Server) awaitReady(ctx context.Context, began time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		if s.isReady(ctx) {
			s.Ready = time.Since(began)
			var err error
			s.ReadyMemory, err = s.Memory()
			return err
		}
		select {
		case <-poll.C:
		case <-s.exited:
			return fmt.Errorf("the server ended while it started:\n%s", tail(s.options.Log))
		case <-ctx.Done():
			return fmt.Errorf("the server was not ready: %w\n%s", context.Cause(ctx), tail(s.options.Log))
		}
	}
}

func (s *Server) isReady(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.HTTP+"/readyz", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body) // so that the connection is used again
	return response.StatusCode == http.StatusOK
}

// tail is the end of what a program printed into a file.
func tail(log string) string {
	data, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	const most = 4 << 10
	return string(bytes.TrimSpace(data[max(0, len(data)-most):]))
}

// makeTokens logs in as the first administrator and makes a token for services, as an operator does after the first start.
func (s *Server) makeTokens(ctx context.Context) error {
	password, err := os.ReadFile(filepath.Join(s.options.Data, "admin-password"))
	if err != nil {
		return err
	}
	client := gantryv1connect.NewAccessServiceClient(http.DefaultClient, "http://"+s.HTTP)
	login, err := client.Login(ctx, &gantryv1.LoginRequest{User: "admin", Password: strings.TrimSpace(string(password))})
	if err != nil {
		return fmt.Errorf("log in as the first administrator: %w", err)
	}
	s.AdminToken = login.Token
	client = gantryv1connect.NewAccessServiceClient(http.DefaultClient, "http://"+s.HTTP, connect.WithInterceptors(s.authorize()))
	made, err := client.CreateToken(ctx, &gantryv1.CreateTokenRequest{Description: "bench",
		Grants: []*gantryv1.Grant{{Namespace: "*", Role: gantryv1.Role_ROLE_SERVICE}}})
	if err != nil {
		return fmt.Errorf("make a token: %w", err)
	}
	s.Token = made.Secret
	return nil
}

// authorize sends the administrator's token with calls that are not measured themselves.
func (s *Server) authorize() connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
			if s.AdminToken != "" {
				request.Header().Set("Authorization", "Bearer "+s.AdminToken)
			}
			return next(ctx, request)
		}
	}
}

// Releases is the release API with an administrator's rights.
func (s *Server) Releases() gantryv1connect.ReleaseServiceClient {
	return gantryv1connect.NewReleaseServiceClient(http.DefaultClient, "http://"+s.HTTP, connect.WithInterceptors(s.authorize()))
}

// Instances is the instance API with an administrator's rights.
func (s *Server) Instances() gantryv1connect.InstanceServiceClient {
	return gantryv1connect.NewInstanceServiceClient(http.DefaultClient, "http://"+s.HTTP, connect.WithInterceptors(s.authorize()))
}

// CountInstances asks how many instances the server knows in the default namespace.
func (s *Server) CountInstances(ctx context.Context) (int, error) {
	client := s.Instances()
	count, token := 0, ""
	for {
		page, err := client.ListServices(ctx, &gantryv1.ListServicesRequest{Namespace: "default", PageSize: 1000, PageToken: token})
		if err != nil {
			return 0, err
		}
		for _, service := range page.Services {
			count += int(service.Instances)
		}
		if token = page.NextPageToken; token == "" {
			return count, nil
		}
	}
}

// SaveProfile writes one of the server's profiles into a file, such as "heap" or "profile?seconds=5", which lasts that long.
func (s *Server) SaveProfile(ctx context.Context, profile, path string) error {
	if s.Debug == "" {
		return errors.New("the server was started without the port for profiles")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Debug+"/debug/pprof/"+profile, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("profile %s: %s", profile, response.Status)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, response.Body)
	return errors.Join(err, file.Close())
}

// Kill ends the server without warning and waits until it is gone.
func (s *Server) Kill() {
	_ = s.command.Process.Kill() // it may have ended by itself
	<-s.exited
}
