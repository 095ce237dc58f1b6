package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// maxAnswer bounds the body of an answer.
const maxAnswer = 16 << 20

// Conn is a connection that is kept (HTTP/1.1, RFC 9112) and has one request under way at a time. It understands what a Gantry
// server answers and no more, which costs a fraction of net/http's client. It is for one goroutine.
type Conn struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte
}

// Dial opens a connection that is good until deadline.
func Dial(address string, deadline time.Time) (*Conn, error) {
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(deadline); err != nil {
		conn.Close()
		return nil, err
	}
	return &Conn{conn: conn, in: bufio.NewReaderSize(conn, 8<<10)}, nil
}

// Close closes the connection.
func (c *Conn) Close() { c.conn.Close() }

// AppendRequest appends a POST request of the native API to b. contentType is application/proto or application/json;
// token is sent unless it is empty.
func AppendRequest(b []byte, host, procedure, contentType, token string, body []byte) []byte {
	b = append(append(append(b, "POST /gantry.v1."...), procedure...), " HTTP/1.1\r\nHost: "...)
	b = append(append(append(b, host...), "\r\nContent-Type: "...), contentType...)
	b = append(b, "\r\nConnect-Protocol-Version: 1\r\n"...)
	if token != "" {
		b = append(append(append(b, "Authorization: Bearer "...), token...), "\r\n"...)
	}
	b = strconv.AppendInt(append(b, "Content-Length: "...), int64(len(body)), 10)
	return append(append(b, "\r\n\r\n"...), body...)
}

// AppendPlain appends a request of another language to b. headers are whole lines with their ends; authorization is the value of that header, or
// empty.
func AppendPlain(b []byte, method, host, path, authorization, headers string, body []byte) []byte {
	b = append(append(append(append(b, method...), ' '), path...), " HTTP/1.1\r\nHost: "...)
	b = append(append(append(b, host...), "\r\n"...), headers...)
	if authorization != "" {
		b = append(append(append(b, "Authorization: "...), authorization...), "\r\n"...)
	}
	b = strconv.AppendInt(append(b, "Content-Length: "...), int64(len(body)), 10)
	return append(append(b, "\r\n\r\n"...), body...)
}

// Do sends a request and returns the answer's status and body. The body is good until the next call. After an error the
// connection is of no use.
func (c *Conn) Do(request []byte) (status int, body []byte, err error) {
	if _, err := c.conn.Write(request); err != nil {
		return 0, nil, err
	}
	line, err := c.line()
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, nil, fmt.Errorf("not an answer of HTTP/1.1: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, err
	}
	length, chunked, err := c.header()
	if err != nil {
		return 0, nil, err
	}
	c.body = c.body[:0]
	switch {
	case chunked:
		err = c.readChunks()
	case status == 204 || status == 304: // without a body (RFC 9110, 15.3.5)
	case length < 0:
		err = errors.New("an answer without a length")
	default:
		err = c.read(length)
	}
	return status, c.body, err
}

// line reads a line without its end. It is good until the next read.
func (c *Conn) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

// header reads what follows the status line and keeps how long the body is.
func (c *Conn) header() (length int, chunked bool, err error) {
	length = -1
	for {
		line, err := c.line()
		if err != nil || len(line) == 0 {
			return length, chunked, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case len(name) == len("Content-Length") && bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, false, err
			}
		case len(name) == len("Transfer-Encoding") && bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		}
	}
}

// read appends n bytes to the body.
func (c *Conn) read(n int) error {
	have := len(c.body)
	if n < 0 || have+n > maxAnswer {
		return fmt.Errorf("an answer of %d bytes or more", have+n)
	}
	if cap(c.body) < have+n {
		c.body = append(make([]byte, 0, 2*(have+n)), c.body...)
	}
	c.body = c.body[:have+n]
	_, err := io.ReadFull(c.in, c.body[have:])
	return err
}

func (c *Conn) readChunks() error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(line), 16, 32)
		if err != nil {
			return err
		}
		if err := c.read(int(size)); err != nil {
			return err
		}
		end, err := c.line()
		if err != nil {
			return err
		}
		if len(end) != 0 {
			return fmt.Errorf("a chunk that does not end: %q", end)
		}
		if size == 0 {
			return nil
		}
	}
}
