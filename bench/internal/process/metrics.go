package process

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Figures are a server's metrics without labels, by name. Of a histogram there are name_sum and name_count.
type Figures map[string]float64

// Figures reads the server's metrics.
func (s *Server) Figures(ctx context.Context) (Figures, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.HTTP+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	if s.AdminToken != "" {
		request.Header.Set("Authorization", "Bearer "+s.AdminToken)
	}
	return figuresOf(request, parseFigures)
}

// figuresOf asks for metrics and has the answer read.
func figuresOf(request *http.Request, parse func(io.Reader) (Figures, error)) (Figures, error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics: %s", response.Status)
	}
	return parse(response.Body)
}

// parseFigures reads the text format of Prometheus and leaves out what has labels.
func parseFigures(from io.Reader) (Figures, error) {
	figures := Figures{}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, rest, found := strings.Cut(lines.Text(), " ")
		if !found || name == "#" || strings.Contains(name, "{") {
			continue
		}
		value, err := strconv.ParseFloat(rest, 64)
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", name, err)
		}
		figures[name] = value
	}
	return figures, lines.Err()
}

// Mean is the mean of what a histogram took in since an earlier reading; 0 when that was nothing.
func (f Figures) Mean(since Figures, histogram string) float64 {
	count := f[histogram+"_count"] - since[histogram+"_count"]
	if count == 0 {
		return 0
	}
	return (f[histogram+"_sum"] - since[histogram+"_sum"]) / count
}
