// Peer on Go's net/http: go_peer PORT PYTHON (scripts/bench.sh builds it)
//
// It does the work of the other peers: the token is verified and cached, the body is checked, events have the same
// fields and the same pace. The constants of the load come from bench.workload and bench.peers.wire.
package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const maxBodyBytes = 1 << 20

type load struct {
	Answer    string   `json:"answer"`
	ChunkSize int      `json:"chunk_size"`
	Deadline  float64  `json:"deadline"`
	Interval  float64  `json:"interval"`
	Messages  []string `json:"messages"`
	Path      string   `json:"path"`
	Pause     float64  `json:"pause"`
	ResumeFor float64  `json:"resume_for"`
	Secret    string   `json:"secret"`
}

func readLoad(python string) (load, error) {
	var found load
	output, err := exec.Command(python, "-m", "bench.peers.constants").Output()
	if err != nil {
		return found, err
	}
	return found, json.Unmarshal(output, &found)
}

// verifier checks bearer tokens and remembers the valid ones.
type verifier struct {
	secret []byte

	mu    sync.RWMutex
	known map[string]float64 // token to expiry, in seconds
}

func (v *verifier) verify(header string) bool {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "bearer") {
		return false
	}
	v.mu.RLock()
	expires, ok := v.known[token]
	v.mu.RUnlock()
	if !ok {
		var err error
		if expires, err = v.decode(token); err != nil {
			return false
		}
		v.mu.Lock()
		v.known[token] = expires
		v.mu.Unlock()
	}
	return expires > float64(time.Now().UnixNano())/1e9
}

var errToken = errors.New("invalid token")

// decode returns the expiry of a token with a valid signature.
func (v *verifier) decode(token string) (float64, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return 0, errToken
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return 0, err
	}
	mac := hmac.New(sha256.New, v.secret)
	mac.Write([]byte(parts[0] + "." + parts[1]))
	if !hmac.Equal(signature, mac.Sum(nil)) {
		return 0, errToken
	}
	var head struct {
		Alg string `json:"alg"`
	}
	var claims struct {
		Sub *string  `json:"sub"`
		Exp *float64 `json:"exp"`
	}
	if err := decodePart(parts[0], &head); err != nil {
		return 0, err
	}
	if err := decodePart(parts[1], &claims); err != nil {
		return 0, err
	}
	if head.Alg != "HS256" || claims.Sub == nil || claims.Exp == nil {
		return 0, errToken
	}
	return *claims.Exp, nil
}

func decodePart(part string, into any) error {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

type query struct {
	Username       string `json:"username"`
	Message        string `json:"message"`
	Prompt         string `json:"prompt"`
	PromptMode     string `json:"prompt_mode"`
	ConversationID string `json:"conversation_id"`
	Chunking       string `json:"chunking"`

	needed time.Duration // that the backend takes, from the message
}

var errQuery = errors.New("invalid query")

func parse(writer http.ResponseWriter, request *http.Request) (query, error) {
	var found query
	body := http.MaxBytesReader(writer, request.Body, maxBodyBytes)
	if err := json.NewDecoder(body).Decode(&found); err != nil {
		return found, err
	}
	for _, field := range []struct {
		value   string
		longest int
	}{
		{found.Username, 64}, {found.Message, 32768}, {found.Prompt, 32768}, {found.PromptMode, 16},
		{found.ConversationID, 128}, {found.Chunking, 16},
	} {
		if utf8.RuneCountInString(field.value) > field.longest {
			return found, errQuery
		}
	}
	if found.Username == "" {
		return found, errQuery
	}
	needed, err := strconv.ParseFloat(strings.TrimSpace(found.Message), 64)
	found.needed = seconds(needed)
	return found, err
}

type opening struct {
	Success        bool    `json:"success"`
	Data           string  `json:"data"`
	Status         string  `json:"status"`
	Message        string  `json:"message"`
	Progress       int     `json:"progress"`
	RunID          string  `json:"run_id"`
	ConversationID string  `json:"conversation_id"`
	Interval       float64 `json:"interval"`
	Deadline       float64 `json:"deadline"`
	ResumeFor      float64 `json:"resume_for"`
	EventsURL      string  `json:"events_url"`
}

type processing struct {
	Success     bool    `json:"success"`
	Data        string  `json:"data"`
	Status      string  `json:"status"`
	Message     string  `json:"message"`
	Progress    int     `json:"progress"`
	ElapsedTime float64 `json:"elapsed_time"`
}

type processingComplete struct {
	Success             bool    `json:"success"`
	Data                string  `json:"data"`
	Status              string  `json:"status"`
	Progress            int     `json:"progress"`
	Message             string  `json:"message"`
	TotalProcessingTime float64 `json:"total_processing_time"`
}

type streaming struct {
	Success           bool    `json:"success"`
	Data              string  `json:"data"`
	Status            string  `json:"status"`
	ChunkNumber       int     `json:"chunk_number"`
	StreamingProgress float64 `json:"streaming_progress"`
	IsComplete        bool    `json:"is_complete"`
}

type complete struct {
	Success    bool    `json:"success"`
	Data       string  `json:"data"`
	Status     string  `json:"status"`
	TotalTime  float64 `json:"total_time"`
	IsComplete bool    `json:"is_complete"`
}

func seconds(number float64) time.Duration { return time.Duration(number * float64(time.Second)) }

func round(number float64) float64 { return math.Round(number*10) / 10 }

func token(size int) []byte {
	random := make([]byte, size)
	if _, err := rand.Read(random); err != nil {
		panic(err)
	}
	return random
}

// stream is the response to one query. Events are buffered until the next wait.
type stream struct {
	load    *load
	runID   string
	writer  http.ResponseWriter
	flusher http.Flusher
	buffer  bytes.Buffer
	encoder *json.Encoder
	timer   *time.Timer
	began   time.Time
	err     error // the first one; later events are dropped
}

func (s *stream) send(position string, event any) {
	if s.err != nil {
		return
	}
	s.buffer.Reset()
	s.buffer.WriteString("id: " + s.runID + "/" + position + "\ndata: ")
	if s.err = s.encoder.Encode(event); s.err != nil { // ends with a newline
		return
	}
	s.buffer.WriteByte('\n')
	_, s.err = s.writer.Write(s.buffer.Bytes())
}

// wait sends the buffered events and returns whether the client is still connected after the delay.
func (s *stream) wait(ctx context.Context, delay time.Duration) bool {
	s.flusher.Flush()
	if s.timer == nil {
		s.timer = time.NewTimer(delay)
	} else {
		s.timer.Reset(delay)
	}
	select {
	case <-s.timer.C:
		return s.err == nil
	case <-ctx.Done():
		s.timer.Stop()
		return false
	}
}

func (s *stream) progress(message string, elapsed time.Duration) {
	percent := 5 + int(90*elapsed.Seconds()/s.load.Deadline)
	if percent > 95 {
		percent = 95
	}
	s.send("2.0", processing{
		Success: true, Status: "processing", Message: message, Progress: percent, ElapsedTime: round(elapsed.Seconds()),
	})
}

func (s *stream) run(ctx context.Context, asked query) {
	conversation := asked.ConversationID
	if conversation == "" {
		conversation = hex.EncodeToString(token(16))
	}
	s.send("1.0", opening{
		Success: true, Status: "initializing", Message: "正在初始化连接...", Progress: 5, RunID: s.runID,
		ConversationID: conversation, Interval: s.load.Interval, Deadline: s.load.Deadline, ResumeFor: s.load.ResumeFor,
		EventsURL: "/api/runs/" + s.runID + "/events?ticket=" + base64.RawURLEncoding.EncodeToString(token(32)),
	})
	s.progress("正在处理您的请求...", 0)

	interval := seconds(s.load.Interval)
	elapsed := time.Since(s.began)
	for tick := 1; elapsed < asked.needed; {
		// Ticks have absolute times: a late one does not delay the next, and one that is too late is left out.
		at := time.Duration(tick) * interval
		if at > asked.needed {
			at = asked.needed
		}
		if !s.wait(ctx, at-elapsed) {
			return
		}
		elapsed = time.Since(s.began)
		if elapsed < asked.needed && elapsed >= time.Duration(tick)*interval {
			s.progress(s.load.Messages[(tick-1)%len(s.load.Messages)], elapsed)
			if late := int(elapsed / interval); late > tick {
				tick = late
			}
			tick++
		}
	}
	s.deliver(ctx, elapsed)
}

func (s *stream) deliver(ctx context.Context, elapsed time.Duration) {
	s.send("3.0", processingComplete{
		Success: true, Status: "processing_complete", Progress: 100,
		Message:             fmt.Sprintf("处理完成 (耗时 %.1f秒)，正在发送回复...", elapsed.Seconds()),
		TotalProcessingTime: round(elapsed.Seconds()),
	})
	answer := []rune(s.load.Answer)
	pause := seconds(s.load.Pause)
	for sent, number := 0, 0; sent < len(answer); number++ {
		due := s.began.Add(elapsed + time.Duration(number)*pause)
		if delay := time.Until(due); delay > 0 && !s.wait(ctx, delay) {
			return
		}
		end := sent + s.load.ChunkSize
		if end > len(answer) {
			end = len(answer)
		}
		data := string(answer[sent:end])
		sent = end
		s.send("3."+strconv.Itoa(sent), streaming{
			Success: true, Data: data, Status: "streaming", ChunkNumber: number + 1,
			StreamingProgress: round(100 * float64(sent) / float64(len(answer))),
		})
	}
	s.send("4.0", complete{
		Success: true, Status: "complete", TotalTime: round(time.Since(s.began).Seconds()), IsComplete: true,
	})
}

type handler struct {
	load     load
	verifier verifier
}

func (h *handler) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost {
		refuse(writer, http.StatusNotFound)
		return
	}
	if !h.verifier.verify(request.Header.Get("Authorization")) {
		refuse(writer, http.StatusUnauthorized)
		return
	}
	asked, err := parse(writer, request)
	if err != nil {
		refuse(writer, http.StatusBadRequest)
		return
	}
	runID := hex.EncodeToString(token(16))
	header := writer.Header()
	header.Set("Content-Type", "text/event-stream; charset=utf-8")
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no")
	header.Set("X-Run-Id", runID)
	header.Set("Location", "/api/runs/"+runID+"/events")
	header.Set("Access-Control-Allow-Origin", "*")
	s := stream{
		load: &h.load, runID: runID, writer: writer, flusher: writer.(http.Flusher), began: time.Now(),
	}
	s.encoder = json.NewEncoder(&s.buffer)
	s.encoder.SetEscapeHTML(false)
	s.run(request.Context(), asked)
}

func refuse(writer http.ResponseWriter, status int) {
	writer.Header().Set("Content-Type", "application/json")
	writer.WriteHeader(status)
	fmt.Fprint(writer, `{"success":false}`)
}

func main() {
	runtime.GOMAXPROCS(1) // each server of the benchmark has one core
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println(runtime.Version())
		return
	}
	if len(os.Args) != 3 {
		log.Fatal("usage: go_peer PORT PYTHON, or go_peer --version")
	}
	constants, err := readLoad(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(writer http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(writer, `{"status":"ok"}`)
	})
	mux.Handle(constants.Path, &handler{
		load:     constants,
		verifier: verifier{secret: []byte(constants.Secret), known: make(map[string]float64)},
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], mux))
}
