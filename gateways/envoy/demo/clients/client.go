// Sessions of the real OpenAI client for Go, which keeps no cookie. The same as client.py.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/conversations"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
)

const lost = -1 // the status of a wrong answer that looks like a success

var errWrong = errors.New("a wrong answer that looks like a success")

type job struct {
	Job     int               `json:"job"`
	Session int               `json:"session"`
	Kind    string            `json:"kind"`
	Stream  bool              `json:"stream"`
	Headers map[string]string `json:"headers"`
	Key     *string           `json:"key"`
	URL     string            `json:"url"`
	Number  *int              `json:"number"`
}

type done struct {
	Job     int     `json:"job"`
	Status  int     `json:"status"`
	Account *string `json:"account"`
}

type session struct {
	kind    string
	stream  bool
	options []option.RequestOption
	api     openai.Client
	account *string
	turn    int
	text    string
	last    string
	talk    string
	files   []string
	store   string
}

func newSession(j job) *session {
	s := &session{kind: j.Kind, stream: j.Stream}
	// No retries: every failure has to show.
	s.options = []option.RequestOption{
		option.WithMaxRetries(0), option.WithMiddleware(s.note), option.WithUnsafeAllowHTTP(),
	}
	if j.Key != nil {
		s.options = append(s.options, option.WithAPIKey(*j.Key))
	} else {
		s.options = append(s.options, option.WithAPIKey("none"), option.WithHeaderDel("authorization"))
	}
	for name, value := range j.Headers {
		s.options = append(s.options, option.WithHeader(name, value))
	}
	return s
}

func (s *session) note(request *http.Request, next option.MiddlewareNext) (*http.Response, error) {
	response, err := next(request)
	if err == nil {
		s.account = nil
		if account := response.Header.Get("x-demo-account"); account != "" {
			s.account = &account
		}
	}
	return response, err
}

func check(right bool) error {
	if !right {
		return errWrong
	}
	return nil
}

// respond continues the session, and checks that nothing of it is lost.
func (s *session) respond(ctx context.Context, params responses.ResponseNewParams, files int) error {
	params.Model = "demo"
	if params.Input.OfInputItemList == nil {
		params.Input.OfString = openai.String("Continue.")
	}
	var made *responses.Response
	if s.stream {
		events := s.api.Responses.NewStreaming(ctx, params)
		defer events.Close()
		var last responses.ResponseStreamEventUnion
		for events.Next() {
			last = events.Current()
		}
		if err := events.Err(); err != nil {
			return err
		}
		if last.Type != "response.completed" {
			return errWrong
		}
		made = &last.Response
	} else {
		var err error
		if made, err = s.api.Responses.New(ctx, params); err != nil {
			return err
		}
	}
	expected := fmt.Sprintf("This is turn %d, with %d files.", s.turn+1, files)
	if made.OutputText() != expected {
		return errWrong
	}
	s.turn, s.text, s.last = s.turn+1, expected, made.ID
	return nil
}

func inConversation(id string) responses.ResponseNewParams {
	talk := responses.ResponseNewParamsConversationUnion{OfString: openai.String(id)}
	return responses.ResponseNewParams{Conversation: talk}
}

func (s *session) begin(ctx context.Context) error {
	if s.kind == "responses" {
		return s.respond(ctx, responses.ResponseNewParams{}, 0)
	}
	if s.kind == "files" {
		for _, text := range []string{"cats", "dogs"} {
			file := openai.File(bytes.NewReader([]byte(text)), "a.txt", "text/plain")
			made, err := s.api.Files.New(ctx, openai.FileNewParams{File: file, Purpose: openai.FilePurposeAssistants})
			if err != nil {
				return err
			}
			s.files = append(s.files, made.ID)
		}
		if err := s.makeStore(ctx); err != nil {
			return err
		}
	}
	talk, err := s.api.Conversations.New(ctx, conversations.ConversationNewParams{})
	if err != nil {
		return err
	}
	s.talk = talk.ID
	if s.kind == "conversation" {
		return s.respond(ctx, inConversation(s.talk), 0)
	}
	return nil
}

func (s *session) makeStore(ctx context.Context) error {
	store, err := s.api.VectorStores.New(ctx, openai.VectorStoreNewParams{FileIDs: s.files})
	if err != nil {
		return err
	}
	s.store = store.ID
	return check(store.FileCounts.Completed == 2)
}

func (s *session) followUp(ctx context.Context, number int) error {
	switch {
	case s.kind == "responses" && number%2 == 0:
		return s.respond(ctx, responses.ResponseNewParams{PreviousResponseID: openai.String(s.last)}, 0)
	case s.kind == "responses":
		found, err := s.api.Responses.Get(ctx, s.last, responses.ResponseGetParams{})
		if err != nil {
			return err
		}
		return check(found.ID == s.last && found.OutputText() == s.text)
	case s.kind == "conversation" && number%2 == 0:
		return s.respond(ctx, inConversation(s.talk), 0)
	case s.kind == "conversation":
		items, err := s.api.Conversations.Items.List(ctx, s.talk, conversations.ItemListParams{})
		if err != nil {
			return err
		}
		return check(len(items.Data) == 2*s.turn)
	case number%4 == 0:
		file := responses.ResponseInputFileParam{FileID: openai.String(s.files[0])}
		parts := responses.ResponseInputMessageContentListParam{{OfInputFile: &file}}
		params := inConversation(s.talk)
		params.Input.OfInputItemList = responses.ResponseInputParam{
			responses.ResponseInputItemParamOfMessage(parts, responses.EasyInputMessageRoleUser),
		}
		params.Tools = []responses.ToolUnionParam{responses.ToolParamOfFileSearch([]string{s.store})}
		return s.respond(ctx, params, 3)
	case number%4 == 1:
		found, err := s.api.VectorStores.Files.List(ctx, s.store, openai.VectorStoreFileListParams{})
		if err != nil {
			return err
		}
		return check(len(found.Data) == 2 && found.Data[0].ID == s.files[0] && found.Data[1].ID == s.files[1])
	case number%4 == 2:
		return s.makeStore(ctx)
	default:
		found, err := s.api.Files.Content(ctx, s.files[1])
		if err != nil {
			return err
		}
		defer found.Body.Close()
		content, err := io.ReadAll(found.Body)
		if err != nil {
			return err
		}
		return check(string(content) == "dogs")
	}
}

func (s *session) do(j job) done {
	ctx := context.Background()
	s.api = openai.NewClient(append(s.options, option.WithBaseURL(j.URL+"/v1"))...)
	s.account = nil
	var err error
	if j.Number == nil {
		err = s.begin(ctx)
	} else {
		err = s.followUp(ctx, *j.Number)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "session %d: %v\n", j.Session, err)
	}
	status := http.StatusOK
	var refused *openai.Error
	switch {
	case errors.As(err, &refused):
		status = refused.StatusCode
	case errors.Is(err, errWrong) || err != nil && s.account != nil:
		status = lost // wrong, or an error in the stream
	case err != nil:
		status = 0 // no answer
	}
	return done{j.Job, status, s.account}
}

func main() {
	sessions := map[int]*session{}
	var printing sync.Mutex
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var j job
		if err := json.Unmarshal(lines.Bytes(), &j); err != nil {
			panic(err)
		}
		if sessions[j.Session] == nil {
			sessions[j.Session] = newSession(j)
		}
		s := sessions[j.Session]
		go func() {
			text, _ := json.Marshal(s.do(j))
			printing.Lock()
			defer printing.Unlock()
			fmt.Println(string(text))
		}()
	}
}
