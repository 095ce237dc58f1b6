package gantry;

import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** A server and its client that know nothing of OpenTelemetry: what is seen of them is the agent's work. */
public final class Plain {
  private Plain() {}

  public static void main(String[] arguments) throws Exception {
    HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.createContext("/loans", exchange -> {
      exchange.sendResponseHeaders(204, -1);
      exchange.close();
    });
    server.start();
    URI uri = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/loans");
    for (int i = 0; i < 3; i++) {
      HttpResponse<Void> answer = HttpClient.newHttpClient().send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.discarding());
      if (answer.statusCode() != 204) {
        throw new IllegalStateException("answered " + answer.statusCode());
      }
    }
    server.stop(0);
    System.exit(0);
  }
}
