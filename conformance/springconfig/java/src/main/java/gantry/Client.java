package gantry;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.json.JsonWriter;
import org.springframework.cloud.context.refresh.ContextRefresher;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.core.env.ConfigurableEnvironment;
import org.springframework.core.env.PropertySource;

/**
 * A service that is configured by Spring Cloud Config. It takes commands from its input and answers each by one line of JSON that begins
 * with "@": "get <key>", "list <key>" (bound to a list), "sources", "refresh", "quit".
 */
@SpringBootApplication
public class Client {

	public static void main(String[] arguments) throws IOException {
		SpringApplication application = new SpringApplication(Client.class);
		application.setWebApplicationType(WebApplicationType.NONE);
		ConfigurableApplicationContext context;
		try {
			context = application.run(arguments);
		}
		catch (Throwable failure) {
			answer("failed", rootOf(failure));
			return;
		}
		answer("started", true);
		BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
		for (String line = input.readLine(); line != null && !line.equals("quit"); line = input.readLine()) {
			String[] words = line.split(" ", 2);
			try {
				answer(words[0], run(context, words[0], words.length > 1 ? words[1] : ""));
			}
			catch (Throwable failure) {
				answer("failed", rootOf(failure));
			}
		}
		context.close();
	}

	private static Object run(ConfigurableApplicationContext context, String command, String argument) {
		ConfigurableEnvironment environment = context.getEnvironment();
		return switch (command) {
			case "get" -> environment.getProperty(argument);
			case "list" -> Binder.get(environment).bind(argument, Bindable.listOf(String.class)).orElse(null);
			case "refresh" -> context.getBean(ContextRefresher.class).refresh();
			case "sources" -> environment.getPropertySources().stream().map(PropertySource::getName).toList();
			default -> throw new IllegalArgumentException(command);
		};
	}

	private static String rootOf(Throwable failure) {
		while (failure.getCause() != null) {
			failure = failure.getCause();
		}
		return failure.toString();
	}

	private static void answer(String event, Object value) {
		Map<String, Object> line = new LinkedHashMap<>();
		line.put("event", event);
		line.put("value", value);
		System.out.println("@" + JsonWriter.standard().writeToString(line));
		System.out.flush();
	}

}
