package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"

	"github.com/gantry-platform/gantry/examples/lending/bureau"
	"github.com/gantry-platform/gantry/examples/lending/fund"
	"github.com/gantry-platform/gantry/examples/lending/load"
	"github.com/gantry-platform/gantry/examples/lending/loan"
	"github.com/gantry-platform/gantry/examples/lending/portal"
	"github.com/gantry-platform/gantry/examples/lending/risk"
	"github.com/gantry-platform/gantry/examples/lending/service"
	"github.com/gantry-platform/gantry/examples/lending/telemetry"
	"github.com/gantry-platform/gantry/internal/server"
	gantry "github.com/gantry-platform/gantry/sdk"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
	"github.com/gantry-platform/gantry/sdk/api/gantry/v1/gantryv1connect"
)

// stopTimeout bounds the end of the server; services bound their own.
const stopTimeout = 20 * time.Second

// instance is one of the fleet's.
type instance struct {
	name, id, version, zone, lane string
	run                           func(context.Context, *service.Service) error
}

// instances are the demo's, those that are called first.
func instances() []instance {
	return []instance{
		{fund.Name, "fund-1", "v1", "a", "", fund.Run}, {fund.Name, "fund-2", "v1", "b", "", fund.Run},
		{bureau.Name, "bureau-1", "v1", "a", "", bureau.Run},
		{risk.Name, "risk-1", "v1", "a", "", risk.Run}, {risk.Name, "risk-2", "v2", "b", "canary", risk.Run},
		{loan.Name, "loan-1", "v1", "a", "", loan.Run}, {loan.Name, "loan-2", "v1", "a", "", loan.Run}, {loan.Name, "loan-3", "v1", "b", "", loan.Run},
		{loan.Name, "loan-4", "v2", "b", "canary", loan.Run},
		{portal.Name, "portal-1", "v1", "a", "", portal.Run}, {portal.Name, "portal-2", "v1", "b", "", portal.Run},
		{load.Name, "load-1", "v1", "a", "", func(ctx context.Context, s *service.Service) error { return load.Run(ctx, s, io.Discard, time.Minute) }},
	}
}

// runFleet runs until the tape is full or ctx ends.
func runFleet(ctx context.Context, tape *tape, rate float64) (err error) {
	folder, err := os.MkdirTemp("", "gantry-record-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	running, err := startServer(ctx, folder)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		running.Shutdown(end)
	}()
	if err := pace(ctx, running.HTTPAddress(), rate); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var fleet sync.WaitGroup
	failures := make(chan error, len(instances()))
	for _, i := range instances() {
		s, err := open(ctx, i, running.GRPCAddress(), tape)
		if err != nil {
			stop()
			fleet.Wait()
			return err
		}
		fleet.Go(func() {
			// That an application was refused its loan at the end, or failed, is part of the recording.
			if err := errors.Join(i.run(ctx, s), s.Close()); err != nil && !errors.Is(err, load.ErrUnwell) {
				failures <- fmt.Errorf("%s: %w", i.id, err)
			}
		})
	}
	select {
	case <-tape.full:
	case <-ctx.Done():
	case err = <-failures:
	}
	stop()
	fleet.Wait()
	return err
}

func startServer(ctx context.Context, folder string) (*server.Server, error) {
	env := map[string]string{"GANTRY_DEV": "true", "GANTRY_HTTP_LISTEN": "127.0.0.1:0", "GANTRY_GRPC_LISTEN": "127.0.0.1:0", "GANTRY_DATA": folder,
		"GANTRY_NAME": "record", "GANTRY_MINIMUM_FREE": "1"}
	settings, err := server.Load("", func(name string) string { return env[name] }, nil)
	if err != nil {
		return nil, err
	}
	var log bytes.Buffer
	running, err := server.Start(ctx, settings, server.Options{Version: "record", Log: &log})
	if err != nil {
		return nil, fmt.Errorf("the server does not start: %w\n%s", err, log.String())
	}
	return running, nil
}

// pace releases the load's configuration.
func pace(ctx context.Context, address string, rate float64) error {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	content := fmt.Sprintf("{rate: %g, min-amount: 1000, max-amount: 40000, timeout: 15s}", rate)
	_, err := gantryv1connect.NewReleaseServiceClient(client, "http://"+address).Publish(ctx, &gantryv1.PublishRequest{
		Ref: &gantryv1.DocumentRef{Kind: "Config", Name: "load.yaml"}, Format: "yaml", Content: []byte(content), Release: true})
	return err
}

func open(ctx context.Context, i instance, address string, tape *tape) (*service.Service, error) {
	exporter, err := otlptrace.New(ctx, tape.client())
	if err != nil {
		return nil, err
	}
	return service.Open(ctx, service.Options{Name: i.name, Instance: i.id, Version: i.version, Zone: i.zone, Lane: i.lane, Release: "2026-" + i.version,
		Logger: slog.New(slog.DiscardHandler), Telemetry: telemetry.Options{Spans: exporter},
		Gantry: []gantry.Option{gantry.WithAddresses(address), gantry.WithSnapshotFolder(""), gantry.WithLogger(slog.New(slog.DiscardHandler))}})
}
