package gantry;

import com.alibaba.nacos.api.NacosFactory;
import com.alibaba.nacos.api.config.ConfigService;
import com.alibaba.nacos.api.config.listener.Listener;
import com.alibaba.nacos.api.naming.NamingService;
import com.alibaba.nacos.api.naming.listener.NamingEvent;
import com.alibaba.nacos.api.naming.pojo.Instance;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.TreeSet;
import java.util.concurrent.Executor;

/**
 * Does with Nacos's client what each line of its input says, and writes one line of JSON for each: {"did": line, "result": text} or {"did": line, "failed": text}. What
 * listeners are told comes in between: {"told": what, "result": text}.
 */
public final class Probe {
    private static final String GROUP = "RISK";
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private final Properties properties = new Properties();
    private NamingService provider;
    private NamingService consumer;
    private ConfigService config;

    private Probe(String address, String user, String password) {
        properties.put("serverAddr", address);
        properties.put("username", user);
        properties.put("password", password);
        properties.put("namingLoadCacheAtStart", "false");
        properties.put("clientWorkerThreadCount", "4"); // with the two that it has on two cores, watching configurations by pattern waits for itself
    }

    public static void main(String[] arguments) throws Exception {
        Probe probe = new Probe(arguments[0], arguments[1], arguments[2]);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            try {
                write("did", line, "result", probe.act(line.split(" ")));
            } catch (Throwable failure) {
                write("did", line, "failed", String.valueOf(failure));
            }
        }
        System.exit(0);
    }

    private String act(String[] words) throws Exception {
        String service = words.length > 1 ? words[1] : "";
        switch (words[0]) {
            case "open":
                provider = NacosFactory.createNamingService(properties);
                consumer = NacosFactory.createNamingService(properties);
                config = NacosFactory.createConfigService(properties);
                return "";
            case "register":
                provider.registerInstance(service, GROUP, instance(words[2], true));
                return "";
            case "register-persistent":
                provider.registerInstance(service, GROUP, instance(words[2], false));
                return "";
            case "deregister":
                provider.deregisterInstance(service, GROUP, instance(words[2], true));
                return "";
            case "deregister-persistent":
                provider.deregisterInstance(service, GROUP, instance(words[2], false));
                return "";
            case "batch":
                provider.batchRegisterInstance(service, GROUP, instances(words));
                return "";
            case "unbatch":
                provider.batchDeregisterInstance(service, GROUP, instances(words));
                return "";
            case "subscribe":
                consumer.subscribe(service, GROUP, event -> write("told", service, "result", addresses(((NamingEvent) event).getInstances())));
                return "";
            case "select":
                return addresses(consumer.selectInstances(service, GROUP, true, false));
            case "services":
                return String.join(" ", new TreeSet<>(consumer.getServicesOfServer(1, 100, GROUP).getData()));
            case "close-provider":
                provider.shutDown();
                return "";
            case "publish":
                return String.valueOf(config.publishConfig(service, GROUP, words[2]));
            case "cas":
                return String.valueOf(config.publishConfigCas(service, GROUP, words[2], words[3]));
            case "get":
                return String.valueOf(config.getConfig(service, GROUP, 5000));
            case "remove":
                return String.valueOf(config.removeConfig(service, GROUP));
            case "listen":
                config.addListener(service, GROUP, new Listener() {
                    @Override
                    public Executor getExecutor() {
                        return null;
                    }

                    @Override
                    public void receiveConfigInfo(String content) {
                        write("told", service, "result", String.valueOf(content));
                    }
                });
                return "";
            case "watch":
                return Watch.begin(consumer, config, GROUP, (what, text) -> write("told", what, "result", text));
            default:
                throw new IllegalArgumentException("no such command");
        }
    }

    private static Instance instance(String ip, boolean ephemeral) {
        Instance instance = new Instance();
        instance.setIp(ip);
        instance.setPort(8080);
        instance.setWeight(2.5);
        instance.setEphemeral(ephemeral);
        instance.addMetadata("version", "v1");
        return instance;
    }

    private static List<Instance> instances(String[] words) {
        List<Instance> all = new ArrayList<>();
        for (int n = 2; n < words.length; n++) {
            all.add(instance(words[n], true));
        }
        return all;
    }

    private static String addresses(List<Instance> instances) {
        TreeSet<String> all = new TreeSet<>();
        for (Instance i : instances) {
            all.add(i.getIp() + "/" + i.getWeight() + "/" + i.getMetadata().get("version"));
        }
        return String.join(" ", all);
    }

    static synchronized void write(String key, String value, String key2, String value2) {
        OUT.println("{" + quote(key) + ":" + quote(value) + "," + quote(key2) + ":" + quote(value2) + "}");
    }

    private static String quote(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                quoted.append('\\').append(c);
            } else if (c < ' ') {
                quoted.append(String.format("\\u%04x", (int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }
}
