package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"

	"github.com/tokenpin/tokenpin/go"
	"github.com/tokenpin/tokenpin/go/tokenpinhttp"
)

var accounts = []string{"a", "b", "c"}

// provider keeps what it makes in the account that asked, as OpenAI does.
type provider struct {
	mutex sync.Mutex
	made  map[string]string // from an id to its account
}

func (p *provider) make(prefix, account string) string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	id := fmt.Sprintf("%s%048x", prefix, len(p.made)+1)
	p.made[id] = account
	return id
}

func (p *provider) knows(id, account string) bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.made[id] == account
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	account := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	w.Header().Set("Content-Type", "application/json")
	missing := func(id string) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"error":{"message":"No such object: %s","type":"invalid_request_error","param":null,"code":null}}`, id)
	}
	if r.Method != "POST" {
		id := strings.Split(r.URL.Path, "/")[3]
		if !p.knows(id, account) {
			missing(id)
			return
		}
		fmt.Fprintf(w, `{"id":"%s","object":"response","output":[]}`, id)
		return
	}
	var asked struct {
		Previous string `json:"previous_response_id"`
		Stream   bool
		FileID   string `json:"file_id"`
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
	}
	parts := strings.Split(r.URL.Path, "/")
	for _, id := range []string{asked.Previous, asked.FileID} {
		if id != "" && !p.knows(id, account) {
			missing(id)
			return
		}
	}
	switch parts[2] {
	case "files":
		fmt.Fprintf(w, `{"id":"%s","object":"file","filename":"x","purpose":"assistants"}`, p.make("file-", account))
	case "vector_stores":
		if len(parts) > 3 && !p.knows(parts[3], account) {
			missing(parts[3])
			return
		}
		if len(parts) > 3 {
			fmt.Fprintf(w, `{"id":"%s","object":"vector_store.file","vector_store_id":"%s"}`, asked.FileID, parts[3])
			return
		}
		fmt.Fprintf(w, `{"id":"%s","object":"vector_store"}`, p.make("vs_", account))
	default:
		id, item := p.make("resp_", account), p.make("msg_", account)
		response := fmt.Sprintf(`{"id":"%s","object":"response","output":[{"type":"message","id":"%s","role":"assistant","content":`+
			`[{"type":"output_text","text":"as %s","annotations":[]}]}]}`, id, item, account)
		if !asked.Stream {
			fmt.Fprint(w, response)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for i, event := range []string{
			`{"type":"response.created","sequence_number":0,"response":{"id":"` + id + `","object":"response","output":[]}}`,
			`{"type":"response.output_text.delta","sequence_number":1,"item_id":"` + item + `","delta":"as "}`,
			`{"type":"response.completed","sequence_number":2,"response":` + response + `}`,
		} {
			fmt.Fprintf(w, "event: x%d\ndata: %s\n\n", i, event)
			w.(http.Flusher).Flush()
		}
	}
}

func gateway(t *testing.T, mode tokenpin.Mode) (openai.Client, *tokenpin.Affinity) {
	t.Helper()
	upstream := httptest.NewServer(&provider{made: map[string]string{}})
	t.Cleanup(upstream.Close)
	config := tokenpin.DefaultConfig()
	config.PlacementKey = tokenpin.Secret([]byte("a placement key!"))
	config.CookieKeys = []tokenpin.CookieKey{{
		ID: 1, Role: tokenpin.RoleSign, Secret: tokenpin.Secret([]byte("a cookie secret!")),
	}}
	for _, account := range accounts {
		config.Slots = append(config.Slots, tokenpin.SlotConfig{Identity: account, Status: tokenpin.Up})
	}
	config.IDs.Mode = mode
	affinity, err := tokenpin.New(&config)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	pin := &tokenpinhttp.Pin{Affinity: affinity}
	proxy := httptest.NewServer(pin.Handler(&httputil.ReverseProxy{Rewrite: tokenpinhttp.Rewrite(target, tokenpinhttp.Bearer(accounts...))}))
	t.Cleanup(proxy.Close)
	return openai.NewClient(
		option.WithBaseURL(proxy.URL+"/v1"), option.WithAPIKey("sk-client"), option.WithMaxRetries(0),
	), affinity
}

// converse is a conversation of some turns, the second half of it streaming. It gives the last
// response.
func converse(ctx context.Context, client openai.Client) (*responses.Response, error) {
	params := responses.ResponseNewParams{
		Model: "m",
		Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("Hello")},
	}
	var last *responses.Response
	for turn := range 6 {
		if last != nil {
			params.PreviousResponseID = openai.String(last.ID)
		}
		if turn < 3 {
			made, err := client.Responses.New(ctx, params)
			if err != nil {
				return nil, err
			}
			last = made
		} else {
			stream := client.Responses.NewStreaming(ctx, params)
			for stream.Next() {
				if event := stream.Current(); event.Type == "response.completed" {
					last = &event.Response
				}
			}
			if err := stream.Err(); err != nil {
				return nil, err
			}
		}
		if found, err := client.Responses.Get(ctx, last.ID, responses.ResponseGetParams{}); err != nil ||
			found.ID != last.ID {
			return nil, fmt.Errorf("%v, not %s: %w", found, last.ID, err)
		}
	}
	return last, nil
}

func TestConversationsStayWithoutACookie(t *testing.T) {
	client, _ := gateway(t, tokenpin.ModeSeal)
	ctx := context.Background()
	seen := map[string]bool{}
	for range 20 {
		last, err := converse(ctx, client)
		if err != nil {
			t.Fatal(err)
		}
		if len(last.ID) > 64 || !strings.HasPrefix(last.ID, "resp_") || !strings.HasSuffix(last.ID, "tp1") {
			t.Error(last.ID)
		}
		seen[last.OutputText()] = true
	}
	if len(seen) != len(accounts) {
		t.Errorf("only %v", seen)
	}
	// Without seals, two of three follow-ups ask the wrong account.
	plain, _ := gateway(t, tokenpin.ModeOff)
	for range 20 {
		if _, err := converse(ctx, plain); err != nil {
			var failed *openai.Error
			if !errors.As(err, &failed) || failed.StatusCode != http.StatusNotFound {
				t.Error(err)
			}
			return
		}
	}
	t.Error("nothing was lost without seals")
}

func TestFilesAreFoundInTheirStore(t *testing.T) {
	client, _ := gateway(t, tokenpin.ModeSeal)
	ctx := context.Background()
	for range 10 {
		file, err := client.Files.New(ctx, openai.FileNewParams{
			File: strings.NewReader("x"), Purpose: openai.FilePurposeAssistants,
		})
		if err != nil {
			t.Fatal(err)
		}
		// The store is made by the next account, unless it names the file.
		store, err := client.VectorStores.New(ctx, openai.VectorStoreNewParams{FileIDs: []string{file.ID}})
		if err != nil {
			t.Fatal(err)
		}
		added, err := client.VectorStores.Files.New(ctx, store.ID, openai.VectorStoreFileNewParams{FileID: file.ID})
		if err != nil || added.ID != file.ID {
			t.Fatal(added, err)
		}
	}
}

// The client knows each refusal for what it is.
func TestRefusalsAreErrorsOfTheClient(t *testing.T) {
	client, affinity := gateway(t, tokenpin.ModeSeal)
	ctx := context.Background()
	last, err := converse(ctx, client)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(err error, status int, code, param string) {
		t.Helper()
		var failed *openai.Error
		if !errors.As(err, &failed) || failed.StatusCode != status || failed.Code != code || failed.Param != param {
			t.Errorf("%v", err)
		}
	}
	_, err = client.Responses.New(ctx, responses.ResponseNewParams{
		Model: "m", PreviousResponseID: openai.String("x" + last.ID),
		Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("More")},
	})
	expect(err, 400, "previous_response_not_found", "previous_response_id")
	_, err = client.Responses.Get(ctx, "x"+last.ID, responses.ResponseGetParams{})
	expect(err, 404, "not_found", "path")
	for slot := range affinity.Capacity() {
		if err := affinity.SetSlot(int32(slot), tokenpin.SlotStatus{State: tokenpin.StateDown}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = client.Responses.Get(ctx, last.ID, responses.ResponseGetParams{})
	expect(err, 503, "session_unavailable", "")
}
