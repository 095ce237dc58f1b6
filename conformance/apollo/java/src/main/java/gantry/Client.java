package gantry;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;

import com.ctrip.framework.apollo.Config;
import com.ctrip.framework.apollo.ConfigFile;
import com.ctrip.framework.apollo.ConfigService;
import com.ctrip.framework.apollo.core.enums.ConfigFileFormat;
import com.google.gson.JsonObject;

/**
 * A service that is configured by Apollo. The client is set up by system properties. It takes commands from its input and answers by lines
 * of JSON that begin with "@": "get <namespace> <key>", "file <namespace> <format>", "watch <namespace>" (from then on changes
 * are told as they come), "quit".
 */
public class Client {

	public static void main(String[] arguments) throws IOException {
		BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
		for (String line = input.readLine(); line != null && !line.equals("quit"); line = input.readLine()) {
			String[] words = line.split(" ");
			try {
				run(words);
			}
			catch (RuntimeException failure) {
				answer("failed", line, failure.toString());
			}
		}
		System.exit(0);
	}

	private static void run(String[] words) {
		switch (words[0]) {
			case "get" -> answer("get", words[2], ConfigService.getConfig(words[1]).getProperty(words[2], null));
			case "file" -> {
				ConfigFile file = ConfigService.getConfigFile(words[1], ConfigFileFormat.fromString(words[2]));
				answer("file", words[1], file.getContent());
			}
			case "watch" -> {
				Config config = ConfigService.getConfig(words[1]);
				config.addChangeListener(event -> event.changedKeys()
					.forEach(key -> answer("changed", key, event.getChange(key).getNewValue())));
				answer("watch", words[1], null);
			}
			default -> throw new IllegalArgumentException(words[0]);
		}
	}

	private static synchronized void answer(String event, String key, String value) {
		JsonObject line = new JsonObject();
		line.addProperty("event", event);
		line.addProperty("key", key);
		line.addProperty("value", value);
		System.out.println("@" + line);
		System.out.flush();
	}

}
