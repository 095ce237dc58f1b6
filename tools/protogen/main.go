// Protogen turns the .proto files of api/ and of the examples into Go. It compiles them in process and hands the result
// to the pinned plugins, so that generating needs nothing that the Go module proxy does not have.
//
// Into TypeScript, for the console, it does so where npm has installed that plugin.
//
//	go run ./protogen -root .. -plugins ../bin/tools -es ../console/node_modules/.bin/protoc-gen-es
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const module = "github.com/gantry-platform/gantry"

func main() {
	root := flag.String("root", "..", "root of the checkout")
	plugins := flag.String("plugins", "../bin/tools", "folder of the plugins")
	es := flag.String("es", "", "the protoc-gen-es `program`; empty leaves out the TypeScript of the console")
	flag.Parse()
	err := run(*root, *plugins)
	if err == nil && *es != "" {
		err = typescript(*root, *es)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(root, plugins string) error {
	for _, one := range []struct {
		api, folder string
		plugins     []string
	}{
		{"api", "gantry/v1", []string{"protoc-gen-go", "protoc-gen-go-grpc", "protoc-gen-connect-go"}},
		{"api", "gantry/peer/v1", []string{"protoc-gen-go", "protoc-gen-go-grpc"}},
		{"examples/lending/api", "lending/v1", []string{"protoc-gen-go", "protoc-gen-go-grpc"}},
	} {
		request, err := compile(filepath.Join(root, one.api), one.folder)
		if err != nil {
			return err
		}
		for _, name := range one.plugins {
			request.Parameter = proto.String("module=" + module)
			if name == "protoc-gen-connect-go" {
				// Plain signatures: the same code serves Connect and grpc-go.
				request.Parameter = proto.String("module=" + module + ",simple")
			}
			if err := generate(request, filepath.Join(plugins, name), root); err != nil {
				return fmt.Errorf("%s on %s: %w", name, one.folder, err)
			}
		}
	}
	return nil
}

// typescript makes what the console calls the API with.
func typescript(root, plugin string) error {
	request, err := compile(filepath.Join(root, "api"), "gantry/v1")
	if err != nil {
		return err
	}
	request.Parameter = proto.String("target=ts,import_extension=none")
	if err := generate(request, plugin, filepath.Join(root, "console/src/api/gen")); err != nil {
		return fmt.Errorf("protoc-gen-es: %w", err)
	}
	return nil
}

// compile reads the files of one folder and all that they import.
func compile(api, folder string) (*pluginpb.CodeGeneratorRequest, error) {
	var names []string
	err := filepath.WalkDir(filepath.Join(api, folder), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".proto") {
			return err
		}
		relative, err := filepath.Rel(api, path)
		names = append(names, filepath.ToSlash(relative))
		return err
	})
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{api}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(context.Background(), names...)
	if err != nil {
		return nil, err
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: names}
	seen := map[string]bool{}
	for _, file := range files {
		request.ProtoFile = withImports(request.ProtoFile, file, seen)
	}
	return request, nil
}

// withImports appends a file behind what it imports, as plugins want it.
func withImports(list []*descriptorpb.FileDescriptorProto, file protoreflect.FileDescriptor, seen map[string]bool) []*descriptorpb.FileDescriptorProto {
	if seen[file.Path()] {
		return list
	}
	seen[file.Path()] = true
	for i := range file.Imports().Len() {
		list = withImports(list, file.Imports().Get(i).FileDescriptor, seen)
	}
	return append(list, protodesc.ToFileDescriptorProto(file))
}

func generate(request *pluginpb.CodeGeneratorRequest, plugin, root string) error {
	input, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	command := exec.Command(plugin)
	command.Stdin = bytes.NewReader(input)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(output, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return errors.New(*response.Error)
	}
	for _, file := range response.File {
		path := filepath.Join(root, file.GetName())
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(file.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
