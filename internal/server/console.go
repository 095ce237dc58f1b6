package server

import "github.com/gantry-platform/gantry/internal/console"

// buildConsole makes the part that serves browsers.
func (s *Server) buildConsole() error {
	var err error
	s.console, err = console.New(console.Options{Files: console.Built(), Access: s.access, ExternalURL: s.settings.ExternalURL, TLS: s.tls != nil, Logger: s.log.With("part", "console")})
	return err
}
