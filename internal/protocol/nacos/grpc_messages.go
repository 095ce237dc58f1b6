package nacos

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Codes of answers.
const (
	resultOK   = 200
	resultFail = 500

	// codeNoConfig answers a query for a configuration that is not there.
	codeNoConfig = 300
	// codeUnregistered tells a client that its connection is not known, so that it connects anew.
	codeUnregistered = 301
	// codeNoHandler answers what the server does not do, and codeBadRequest what it cannot read: Nacos's numbers.
	codeNoHandler  = 302
	codeBadRequest = 502
)

// response is what every answer has.
type response struct {
	ResultCode int    `json:"resultCode"`
	ErrorCode  int    `json:"errorCode"`
	Message    string `json:"message,omitempty"`
	RequestID  string `json:"requestId,omitempty"`
	Success    bool   `json:"success"`
}

func good(id string) response { return response{ResultCode: resultOK, Success: true, RequestID: id} }

func bad(id string, code int, message string) response {
	return response{ResultCode: resultFail, ErrorCode: code, Message: message, RequestID: id}
}

// append writes the fields of an answer without the closing brace, so that others can follow.
func (r *response) append(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"resultCode":`...), int64(r.ResultCode), 10)
	b = strconv.AppendInt(append(b, `,"errorCode":`...), int64(r.ErrorCode), 10)
	if r.Message != "" {
		b = appendString(append(b, `,"message":`...), r.Message)
	}
	if r.RequestID != "" {
		b = appendString(append(b, `,"requestId":`...), r.RequestID)
	}
	return strconv.AppendBool(append(b, `,"success":`...), r.Success)
}

// requestNumber is the number of a request of ours as it comes back: text, or a number.
type requestNumber uint64

// UnmarshalJSON implements json.Unmarshaler. What is no number of ours is 0.
func (n *requestNumber) UnmarshalJSON(data []byte) error {
	value, err := strconv.ParseUint(string(bytes.Trim(data, `"`)), 10, 64)
	if err != nil {
		value = 0
	}
	*n = requestNumber(value)
	return nil
}

// acknowledgement is what a client answers to a request of ours: a response, or the PushAckRequest of early clients.
type acknowledgement struct {
	RequestID  requestNumber `json:"requestId"`
	ResultCode int           `json:"resultCode"`
	Success    bool          `json:"success"`
}

func (a *acknowledgement) good() bool { return a.Success || a.ResultCode == resultOK }

// serverRequest is what every request of ours has.
type serverRequest struct {
	RequestID string `json:"requestId,omitempty"`
	Module    string `json:"module"`
	number    uint64
}

func (s *Connections) newRequest(module string) serverRequest {
	number := s.requestID.Add(1)
	return serverRequest{RequestID: strconv.FormatUint(number, 10), Module: module, number: number}
}

type connectionSetup struct {
	ClientVersion string            `json:"clientVersion"`
	Labels        map[string]string `json:"labels"`
	// AbilityTable is nil for clients before 2.3.
	AbilityTable map[string]json.RawMessage `json:"abilityTable"`
}

type setupAck struct {
	serverRequest
	AbilityTable map[string]bool `json:"abilityTable"`
}

// abilities are what newer clients ask a server for.
func abilities() map[string]bool {
	return map[string]bool{"supportPersistentInstanceByGrpc": true, "fuzzyWatch": true, "lock": false, "mcp": false}
}

type connectReset struct {
	serverRequest
	ServerIP     string `json:"serverIp,omitempty"`
	ServerPort   string `json:"serverPort,omitempty"`
	ConnectionID string `json:"connectionId,omitempty"`
}

type serverCheckResponse struct {
	response
	ConnectionID string `json:"connectionId"`
	Negotiation  bool   `json:"supportAbilityNegotiation"`
}

// clientRequest is what every request of a client has.
type clientRequest struct {
	RequestID string `json:"requestId"`
}

func (r *clientRequest) id() string { return r.RequestID }

// pushAckRequest is the acknowledgement of early clients, where it comes as a request of its own.
type pushAckRequest struct {
	Number  requestNumber `json:"requestId"`
	Success bool          `json:"success"`
}

func (r *pushAckRequest) id() string { return "" }

type serviceRequest struct {
	clientRequest
	Namespace   string `json:"namespace"`
	ServiceName string `json:"serviceName"`
	GroupName   string `json:"groupName"`
}

type instanceRequest struct {
	serviceRequest
	Type string `json:"type"`
	// Sent is decoded into what has Nacos's defaults already: to decode it by itself would read it twice.
	Sent *sentInstance `json:"instance"`
}

// sentInstance is an [Instance] that is decoded field by field over what it holds.
type sentInstance Instance

func (r *instanceRequest) defaults() {
	i := sentInstance(newInstance())
	r.Sent = &i
}

// instance is what was sent, or nil.
func (r *instanceRequest) instance() *Instance {
	if r.Sent == nil || r.Sent.IP == "" && r.Sent.Port == 0 {
		return nil
	}
	return (*Instance)(r.Sent)
}

type batchInstanceRequest struct {
	serviceRequest
	Type      string     `json:"type"`
	Instances []Instance `json:"instances"`
}

type subscribeRequest struct {
	serviceRequest
	Subscribe bool   `json:"subscribe"`
	Clusters  string `json:"clusters"`
}

type serviceQueryRequest struct {
	serviceRequest
	Cluster     string `json:"cluster"`
	HealthyOnly bool   `json:"healthyOnly"`
}

type serviceListRequest struct {
	serviceRequest
	PageNo   int `json:"pageNo"`
	PageSize int `json:"pageSize"`
}

type instanceResponse struct {
	response
	Type string `json:"type"`
}

type serviceListResponse struct {
	response
	Count        int      `json:"count"`
	ServiceNames []string `json:"serviceNames"`
}

type configRequest struct {
	clientRequest
	DataID string `json:"dataId"`
	Group  string `json:"group"`
	Tenant string `json:"tenant"`
}

type configPublishRequest struct {
	configRequest
	Content  string             `json:"content"`
	CasMD5   string             `json:"casMd5"`
	Addition map[string]*string `json:"additionMap"`
}

func (r *configPublishRequest) addition(key string) string {
	if value := r.Addition[key]; value != nil {
		return *value
	}
	return ""
}

type configQueryRequest struct {
	configRequest
	Tag string `json:"tag"`
}

type configRemoveRequest struct {
	configRequest
	Tag string `json:"tag"`
}

type configListenRequest struct {
	clientRequest
	// Listen is true when it is not said.
	Listen   *bool           `json:"listen"`
	Contexts []listenContext `json:"configListenContexts"`
}

type listenContext struct {
	configName
	MD5 string `json:"md5"`
}

// configName is a configuration as a client names it, and as it is told of it.
type configName struct {
	Group  string `json:"group"`
	DataID string `json:"dataId"`
	Tenant string `json:"tenant,omitempty"`
}

type configListenResponse struct {
	response
	Changed []configName `json:"changedConfigs"`
}

type configChangeNotify struct {
	serverRequest
	configName
}

type configQueryResponse struct {
	response
	Content          string `json:"content"`
	EncryptedDataKey string `json:"encryptedDataKey,omitempty"`
	ContentType      string `json:"contentType,omitempty"`
	MD5              string `json:"md5,omitempty"`
	LastModified     int64  `json:"lastModified"`
	Beta             bool   `json:"beta"`
	// IsBeta is the same by the name that clients in Go read.
	IsBeta bool   `json:"isBeta"`
	Tag    string `json:"tag,omitempty"`
}

// fuzzyRequest asks to be told of what matches a pattern, of services or of configurations.
type fuzzyRequest struct {
	clientRequest
	Namespace    string   `json:"namespace"`
	Pattern      string   `json:"groupKeyPattern"`
	Received     []string `json:"receivedGroupKeys"`
	WatchType    string   `json:"watchType"`
	Initializing bool     `json:"initializing"`
}
