package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/gantry-platform/gantry/internal/fault"
)

// outputFormat is the value of --output; empty is a table.
type outputFormat string

const (
	outputTable    outputFormat = "table"
	outputWide     outputFormat = "wide"
	outputJSON     outputFormat = "json"
	outputYAML     outputFormat = "yaml"
	outputManifest outputFormat = "manifest"
	outputContent  outputFormat = "content"
)

// extraFormats is the annotation of commands that take manifest and content too.
const extraFormats = "gantry/output"

// machine: the answer is for programs.
func (o outputFormat) machine() bool { return o == outputJSON || o == outputYAML }

func (o *outputFormat) String() string { return string(*o) }

// Type is how the help names the value.
func (o *outputFormat) Type() string { return "format" }

// Set takes any format that some command has, see checkFormat.
func (o *outputFormat) Set(text string) error {
	known := []string{"table", "wide", "json", "yaml", "manifest", "content"}
	if !slices.Contains(known, text) {
		return fmt.Errorf("want one of %s", strings.Join(known, ", "))
	}
	*o = outputFormat(text)
	return nil
}

// checkFormat refuses a format that the command does not have.
func (c *cli) checkFormat(cmd *cobra.Command) error {
	o := c.flags.output
	if (o == outputManifest || o == outputContent) && cmd.Annotations[extraFormats] == "" {
		return fault.New(fault.Invalid, "cli.usage", "%s cannot answer as %s", cmd.CommandPath(), string(o)).At("output").
			Hinted("use table, wide, json or yaml")
	}
	return nil
}

// shapes writes messages as the API's JSON: camelCase names, 64-bit numbers as strings, and what is
// zero or empty is there too, so that programs need not ask.
var shapes = protojson.MarshalOptions{EmitDefaultValues: true}

// answer prints a message: as it is for programs, otherwise as people does.
func (c *cli) answer(message proto.Message, people func() error) error {
	if !c.flags.output.machine() {
		return people()
	}
	data, err := shapes.Marshal(message)
	if err != nil {
		return err
	}
	return c.writeMachine(c.out, data)
}

// answerList prints messages: as an array for programs, otherwise as a table.
func answerList[M proto.Message](c *cli, messages []M, rows func() *table) error {
	if !c.flags.output.machine() {
		return c.printTable(rows())
	}
	items := make([]json.RawMessage, 0, len(messages))
	for _, message := range messages {
		data, err := shapes.Marshal(message)
		if err != nil {
			return err
		}
		items = append(items, data)
	}
	return c.answerValue(items)
}

// answerValue prints a value of encoding/json for programs.
func (c *cli) answerValue(value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return c.writeMachine(c.out, data)
}

// writeMachine writes JSON as the format that was asked for.
func (c *cli) writeMachine(w io.Writer, data []byte) error {
	var out []byte
	if c.flags.output == outputYAML {
		var err error
		if out, err = yamlOf(data); err != nil {
			return err
		}
	} else {
		var b bytes.Buffer
		if err := json.Indent(&b, data, "", "  "); err != nil {
			return err
		}
		b.WriteByte('\n')
		out = b.Bytes()
	}
	_, err := w.Write(out)
	return err
}

// streamItem prints one message of a stream: a line of JSON, or a document of YAML.
func (c *cli) streamItem(message proto.Message) error {
	data, err := shapes.Marshal(message)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if c.flags.output == outputYAML {
		text, err := yamlOf(data)
		if err != nil {
			return err
		}
		b.WriteString("---\n")
		b.Write(text)
	} else {
		if err := json.Compact(&b, data); err != nil {
			return err
		}
		b.WriteByte('\n')
	}
	_, err = c.out.Write(b.Bytes())
	return err
}

// yamlOf writes JSON as YAML, its fields in the same order.
func yamlOf(data []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	node, err := yamlNode(decoder)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(node); err != nil {
		return nil, err
	}
	return b.Bytes(), encoder.Close()
}

func yamlNode(decoder *json.Decoder) (*yaml.Node, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		node := &yaml.Node{}
		switch value := token.(type) {
		case nil:
			node.Kind, node.Tag, node.Value = yaml.ScalarNode, "!!null", "null"
		case json.Number:
			// Decimal text as it is: no detour by float64.
			node.Kind, node.Tag, node.Value = yaml.ScalarNode, numberTag(value.String()), value.String()
		default:
			err = node.Encode(value)
		}
		return node, err
	}
	node := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	if delim == '{' {
		node.Kind, node.Tag = yaml.MappingNode, "!!map"
	}
	for decoder.More() {
		item, err := yamlNode(decoder)
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, item) // keys and values alternate, as in yaml.Node
	}
	if len(node.Content) == 0 {
		node.Style = yaml.FlowStyle
	}
	_, err = decoder.Token()
	return node, err
}

func numberTag(number string) string {
	if strings.ContainsAny(number, ".eE") {
		return "!!float"
	}
	return "!!int"
}
