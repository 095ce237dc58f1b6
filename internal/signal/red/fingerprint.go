package red

import (
	"iter"
	"strings"

	"github.com/cespare/xxhash/v2"
)

const (
	// maxStackBytes and maxFrames are how much of a stack counts: what is deeper is the framework, and the same everywhere.
	maxStackBytes = 32 << 10
	maxFrames     = 12
	// maxMessageBytes of an error's message are shown.
	maxMessageBytes = 300
)

// fingerprint makes one number of a stack trace that stays the same while the same error comes from the same place: line numbers, addresses, arguments, and the
// names that compilers and proxies make up anew play no part. It answers the frame where the error was thrown too. Without any frame, the type of the
// exception alone decides.
func fingerprint(kind, stack string) (hash uint64, top string) {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(kind)
	buffer := make([]byte, 0, 256)
	frames := 0
	for line := range thrownFirst(stack) {
		frame, ok := frameOf(line)
		if !ok || frames == 0 && records(frame) {
			continue
		}
		buffer = appendStable(buffer[:0], frame)
		if len(buffer) == 0 {
			continue
		}
		if top == "" {
			top = clean(string(buffer), maxEndpointBytes)
		}
		_, _ = d.WriteString("\n")
		_, _ = d.Write(buffer)
		if frames++; frames == maxFrames {
			break
		}
	}
	return d.Sum64(), top
}

const pythonStack = "Traceback (most recent call last)"

// thrownFirst goes through the lines of a stack, beginning at the place where the error was thrown. Most languages write it at the top. Python writes it at the
// bottom, and the error that got out as the last of several. Go writes what recovered a panic above it, and an earlier panic, which is the cause, below.
func thrownFirst(stack string) iter.Seq[string] {
	if i := strings.LastIndex(stack, pythonStack); i >= 0 {
		stack = stack[i:]
		return backward(stack[max(0, len(stack)-maxStackBytes):])
	}
	if strings.HasPrefix(stack, "goroutine ") || strings.Contains(stack, "\ngoroutine ") {
		if i := strings.LastIndex(stack, "\npanic("); i >= 0 {
			stack = stack[i+1:]
		}
	}
	return strings.Lines(stack[:min(len(stack), maxStackBytes)])
}

// backward answers lines from the last to the first.
func backward(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for text != "" {
			i := strings.LastIndexByte(text, '\n')
			if !yield(text[i+1:]) {
				return
			}
			text = text[:max(i, 0)]
		}
	}
}

// records tells the frames of what writes a Go stack down, or brings a panic about: they stand above the place, and are the same for all errors.
func records(frame string) bool {
	for _, prefix := range [...]string{"go.opentelemetry.io/otel/", "runtime/debug.", "runtime."} {
		if strings.HasPrefix(frame, prefix) {
			return true
		}
	}
	return false
}

// frameOf finds a frame in a line: Java's and JavaScript's "at ...", Python's "File ..., line N, in f", and a Go or Rust function on a line of its own. Lines
// with the message of an exception are none: messages hold ids.
func frameOf(line string) (string, bool) {
	text := strings.TrimSpace(line)
	switch {
	case text == "":
		return "", false
	case strings.HasPrefix(text, "at "):
		text = text[3:]
		// JavaScript writes the place in brackets, Java the file and line.
		if i := strings.LastIndexByte(text, '('); i > 0 {
			text = strings.TrimSpace(text[:i])
		}
		// The module and class loader stand before a slash: app//com.x.Y.z. The slash of a hidden class, Y$$Lambda/0x7f, is none of these.
		class := text
		if i := strings.Index(text, "$$"); i >= 0 {
			class = text[:i]
		}
		if i := strings.LastIndexByte(class, '/'); i >= 0 && !strings.Contains(class, "://") {
			text = text[i+1:]
		}
		return text, text != ""
	case strings.HasPrefix(text, "File \""):
		file := text[6:]
		if i := strings.IndexByte(file, '"'); i >= 0 {
			file = file[:i]
		}
		file = file[strings.LastIndexByte(file, '/')+1:]
		if i := strings.LastIndex(text, ", in "); i >= 0 {
			return file + " " + text[i+5:], true
		}
		return file, true
	case line[0] == ' ' || line[0] == '\t':
		return "", false // Go's file, or Python's source line
	}
	// Go's function: package.Function(arguments), which ends with a bracket and has no blank before it.
	if strings.HasPrefix(text, "created by ") {
		text = text[len("created by "):]
		if i := strings.Index(text, " in goroutine"); i >= 0 {
			text = text[:i]
		}
		return text, true
	}
	if i := strings.LastIndexByte(text, '('); i > 0 && strings.HasSuffix(text, ")") && strings.IndexByte(text[:i], ' ') < 0 && strings.IndexByte(text[:i], '.') > 0 {
		return text[:i], true
	}
	return "", false
}

// appendStable writes a frame without what changes from run to run: Java's lambdas and generated accessors, proxies of CGLIB, ByteBuddy, Spring and the JDK, Go's closures and
// generics, and numbers.
func appendStable(to []byte, frame string) []byte {
	for _, mark := range [...]string{"$$Lambda", "$$EnhancerBySpringCGLIB", "$$FastClassBySpringCGLIB", "$$SpringCGLIB", "$$EnhancerByCGLIB", "$ByteBuddy$", "$auxiliary$", "$MockitoMock$", "_$$_"} {
		if i := strings.Index(frame, mark); i >= 0 {
			rest := ""
			if j := strings.IndexByte(frame[i:], '.'); j >= 0 {
				rest = frame[i+j:]
			}
			frame = frame[:i] + rest
		}
	}
	if strings.Contains(frame, "GeneratedMethodAccessor") || strings.Contains(frame, "GeneratedConstructorAccessor") || strings.HasPrefix(frame, "jdk.internal.reflect.") ||
		strings.HasPrefix(frame, "java.lang.reflect.") {
		return to // reflection is called differently after some calls
	}
	for i := 0; i < len(frame); i++ {
		c := frame[i]
		switch {
		case c >= '0' && c <= '9':
			// Runs of digits are one mark: lambda$3, func1.2, $Proxy17.
			if n := len(to); n == 0 || to[n-1] != '#' {
				to = append(to, '#')
			}
		case c < ' ' || c == 0x7f:
		default:
			to = append(to, c)
		}
	}
	return to
}
