package nacos

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
)

// call is one request on its way through.
type call struct {
	*Connections
	c       *connection
	payload *payload
	// ctx carries who makes the request.
	ctx context.Context
}

// rpcOperation serves one kind of request. It answers the message, or an error and the request's id.
type rpcOperation struct {
	// answer is the kind of its answers, failures included.
	answer string
	// open needs no rights, and so nobody's name.
	open  bool
	serve func(*call) (encoded []byte, id string, err error)
}

// rpcOf finds what serves a kind of request; false for what is not served.
func rpcOf(kind string) (rpcOperation, bool) {
	switch kind {
	case "HealthCheckRequest":
		return rpcOperation{"HealthCheckResponse", true, operate((*call).healthCheck)}, true
	case "PushAckRequest":
		return rpcOperation{"PushAckResponse", true, operate((*call).pushAck)}, true
	case "InstanceRequest":
		return rpcOperation{"InstanceResponse", false, operate((*call).instance)}, true
	case "BatchInstanceRequest":
		return rpcOperation{"BatchInstanceResponse", false, operate((*call).batchInstance)}, true
	case "PersistentInstanceRequest":
		return rpcOperation{"InstanceResponse", false, operate((*call).persistentInstance)}, true
	case "SubscribeServiceRequest":
		return rpcOperation{"SubscribeServiceResponse", false, operate((*call).subscribe)}, true
	case "ServiceQueryRequest":
		return rpcOperation{"QueryServiceResponse", false, operate((*call).queryService)}, true
	case "ServiceListRequest":
		return rpcOperation{"ServiceListResponse", false, operate((*call).listServices)}, true
	case "NamingFuzzyWatchRequest":
		return rpcOperation{"NamingFuzzyWatchResponse", false, operate((*call).watchServices)}, true
	case "ConfigPublishRequest":
		return rpcOperation{"ConfigPublishResponse", false, operate((*call).publishConfig)}, true
	case "ConfigQueryRequest":
		return rpcOperation{"ConfigQueryResponse", false, operate((*call).queryConfig)}, true
	case "ConfigRemoveRequest":
		return rpcOperation{"ConfigRemoveResponse", false, operate((*call).removeConfig)}, true
	case "ConfigBatchListenRequest":
		return rpcOperation{"ConfigChangeBatchListenResponse", false, operate((*call).listen)}, true
	case "ConfigFuzzyWatchRequest":
		return rpcOperation{"ConfigFuzzyWatchResponse", false, operate((*call).watchConfigs)}, true
	default:
		return rpcOperation{}, false
	}
}

// errUnreadable answers a body that is not the JSON of its kind.
type errUnreadable struct{ error }

// operate decodes the request before it is served.
func operate[R any, P interface {
	*R
	id() string
}](serve func(*call, P) ([]byte, error)) func(*call) ([]byte, string, error) {
	return func(k *call) ([]byte, string, error) {
		request := P(new(R))
		if filled, has := any(request).(interface{ defaults() }); has {
			filled.defaults()
		}
		if err := json.Unmarshal(k.payload.body, request); err != nil {
			return nil, "", errUnreadable{err}
		}
		answer, err := serve(k, request)
		return answer, request.id(), err
	}
}

// request serves one unary request.
func (s *Connections) request(ctx context.Context, encoded []byte) ([]byte, error) {
	p, err := decodePayload(encoded)
	if err != nil {
		return refuse(codeBadRequest, fmt.Sprintf("the payload cannot be read: %v", err)), nil
	}
	t, ok := transportOf(ctx)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "connections of Nacos come over TCP")
	}
	if p.kind == "ServerCheckRequest" {
		if s.isLeaving() {
			return nil, status.Error(codes.Unavailable, errLeaving().Error()) // so that it tries another node at once
		}
		return encodeJSON("ServerCheckResponse", serverCheckResponse{response: good(""), ConnectionID: s.id(t), Negotiation: true}), nil
	}
	operation, found := rpcOf(p.kind)
	if !found {
		return refuse(codeNoHandler, "there is no handler of "+quoted(p.kind)), nil
	}
	c := s.find(ctx, t)
	if c == nil || !c.begin() {
		return refuse(codeUnregistered, "Connection is unregistered."), nil
	}
	defer c.operations.Done()
	c.heard.Store(s.now())
	k := &call{Connections: s, c: c, payload: p, ctx: ctx}
	if !operation.open {
		if k.ctx, err = c.identify(ctx, p); err != nil {
			return encodeJSON(operation.answer, bad("", statusOfError(err), messageOfError(err))), nil
		}
	}
	answer, id, err := operation.serve(k)
	switch unreadable := (errUnreadable{}); {
	case err == nil:
		return answer, nil
	case asUnreadable(err, &unreadable):
		return refuse(codeBadRequest, fmt.Sprintf("the %s cannot be read: %v", p.kind, unreadable.error)), nil
	default:
		s.logInternal(p.kind, err)
		return encodeJSON(operation.answer, bad(id, statusOfError(err), messageOfError(err))), nil
	}
}

func asUnreadable(err error, into *errUnreadable) bool {
	u, ok := err.(errUnreadable)
	if ok {
		*into = u
	}
	return ok
}

// refuse is the answer to what has no answer of its own kind.
func refuse(code int, message string) []byte {
	return encodeJSON("ErrorResponse", bad("", code, message))
}

// identify finds out who makes a request, and remembers it: what the client subscribed to is pushed by the rights of whom it last showed to be.
//
// Errors: those of access.Manager.Authenticate.
func (c *connection) identify(ctx context.Context, p *payload) (context.Context, error) {
	credential, shown, err := credentialOf(p)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	known := c.identity
	if c.token != shown || known != nil && !known.Active() {
		known = nil
	}
	c.mu.Unlock()
	if known == nil {
		credential.Source = c.transport.remote.String()
		if known, err = c.server.api.Access.Authenticate(ctx, credential); err != nil {
			return nil, err
		}
		c.remember(shown, known)
	}
	return access.NewContext(ctx, known), nil
}

func (c *connection) remember(shown string, identity *access.Identity) {
	if !identity.Active() {
		return // nobody: what was shown before still holds
	}
	c.mu.Lock()
	c.token, c.identity = shown, identity
	configs := c.configs
	c.mu.Unlock()
	if configs != nil {
		configs.follow(identity)
	}
}

// credentialOf finds what shows who the client is: the token that it got by logging in, as a rule. shown is the same as one text.
func credentialOf(p *payload) (credential access.Credential, shown string, err error) {
	if token := p.header("accessToken"); token != "" {
		return access.Credential{Token: token}, token, nil
	}
	if header := p.header("Authorization"); header != "" {
		credential, err = access.ParseAuthorization(header)
		return credential, header, err
	}
	if user, password := p.header("username"), p.header("password"); user != "" {
		return access.Credential{User: user, Password: password}, user + "\n" + password, nil
	}
	return access.Credential{}, "", nil
}

func (k *call) healthCheck(r *clientRequest) ([]byte, error) {
	return encodeJSON("HealthCheckResponse", good(r.RequestID)), nil
}

func (k *call) pushAck(r *pushAckRequest) ([]byte, error) {
	k.c.acknowledge(&acknowledgement{RequestID: r.Number, Success: r.Success})
	return encodeJSON("PushAckResponse", good("")), nil
}

// errUnsupportedType answers a type that a kind of request does not have.
func errUnsupportedType(kind string) *fault.Error {
	return invalid("type", "Unsupported request type %s", quoted(kind))
}
