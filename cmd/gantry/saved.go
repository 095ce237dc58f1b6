package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/gantry-platform/gantry/internal/fault"
)

// maxSavedConfig bounds the file of [savedConfig], in bytes: it holds four short strings.
const maxSavedConfig = 64 << 10

// savedConfig is what "gantry login" writes down, in ~/.config/gantry/config.yaml with mode 0600.
type savedConfig struct {
	Address string `yaml:"address,omitempty"`
	// Token is sent to Address alone.
	Token     string `yaml:"token,omitempty"`
	Namespace string `yaml:"namespace,omitempty"`
	// CA is the path of a file with certificates to trust.
	CA string `yaml:"ca,omitempty"`
}

// savedPath is GANTRY_CLI_CONFIG, or the place that the XDG base directory specification says.
func (c *cli) savedPath() (string, error) {
	if path := c.env("GANTRY_CLI_CONFIG"); path != "" {
		return path, nil
	}
	if base := c.env("XDG_CONFIG_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "gantry", "config.yaml"), nil
	}
	if home := first(c.env("HOME"), c.env("USERPROFILE")); home != "" {
		return filepath.Join(home, ".config", "gantry", "config.yaml"), nil
	}
	return "", fault.New(fault.Precondition, "cli.no_home", "there is no home folder to keep the login in").
		Hinted("set GANTRY_CLI_CONFIG to the path of a file")
}

// load reads the saved configuration once; without a file it is empty.
func (c *cli) load() (*savedConfig, error) {
	if c.saved != nil {
		return c.saved, nil
	}
	path, err := c.savedPath()
	if err != nil {
		// Without a home nothing can have been saved.
		c.saved = &savedConfig{}
		return c.saved, nil
	}
	saved, err := c.readSaved(path)
	if err != nil {
		return nil, err
	}
	c.saved = saved
	return saved, nil
}

func (c *cli) readSaved(path string) (*savedConfig, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &savedConfig{}, nil
	}
	if err != nil {
		return nil, fileFault(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 && info.Mode().IsRegular() {
		c.warn("%s can be read by others: run chmod 600 %s", path, path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSavedConfig+1))
	if err != nil {
		return nil, fileFault(err)
	}
	invalid := func(problem string) error {
		return fault.New(fault.Invalid, "cli.invalid_config", "%s %s", path, problem).
			Hinted("mend it, or delete it and run gantry login again")
	}
	if len(data) > maxSavedConfig {
		return nil, invalid(fmt.Sprintf("is larger than %d bytes", maxSavedConfig))
	}
	saved := &savedConfig{}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(saved); err != nil && !errors.Is(err, io.EOF) {
		// The parser's message would quote the file, and the token with it.
		return nil, invalid("is not what gantry login writes: address, token, namespace and ca, each a string")
	}
	return saved, nil
}

// save replaces the saved configuration: whole, or not at all.
func (c *cli) save(saved *savedConfig) (string, error) {
	path, err := c.savedPath()
	if err != nil {
		return "", err
	}
	data, err := yaml.Marshal(saved)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fileFault(err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".config-*") // mode 0600
	if err != nil {
		return "", fileFault(err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(data)
	if err == nil {
		err = temporary.Sync()
	}
	if closeErr := temporary.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return "", fileFault(err)
	}
	c.saved = saved
	return path, nil
}
