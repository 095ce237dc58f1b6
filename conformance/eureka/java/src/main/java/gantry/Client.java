package gantry;

import com.netflix.appinfo.ApplicationInfoManager;
import com.netflix.appinfo.InstanceInfo;
import com.netflix.appinfo.InstanceInfo.InstanceStatus;
import com.netflix.appinfo.MyDataCenterInstanceConfig;
import com.netflix.appinfo.providers.EurekaConfigBasedInstanceInfoProvider;
import com.netflix.config.ConfigurationManager;
import com.netflix.discovery.DefaultEurekaClientConfig;
import com.netflix.discovery.DiscoveryClient;
import com.netflix.discovery.shared.Application;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.TreeSet;

/**
 * Netflix's discovery client with a command line: it registers, renews and reads by itself, prints what it holds as a line of
 * JSON whenever that changes, and does what its standard input says: "status X" or "stop".
 *
 * Arguments: service address, application, instance id, port.
 */
public final class Client {
    public static void main(String[] args) throws Exception {
        var settings = ConfigurationManager.getConfigInstance();
        settings.setProperty("eureka.serviceUrl.default", args[0]);
        settings.setProperty("eureka.name", args[1]);
        settings.setProperty("eureka.vipAddress", args[1]);
        settings.setProperty("eureka.instanceId", args[2]);
        settings.setProperty("eureka.port", args[3]);
        settings.setProperty("eureka.metadata.owner", "java & co");
        settings.setProperty("eureka.metadata.version", "v7");
        settings.setProperty("eureka.lease.renewalInterval", "1");
        settings.setProperty("eureka.lease.duration", "10");
        settings.setProperty("eureka.client.refresh.interval", "1");
        settings.setProperty("eureka.appinfo.replicate.interval", "1");
        settings.setProperty("eureka.appinfo.initial.replicate.time", "0");
        settings.setProperty("eureka.clientDataAccept", System.getProperty("accept", "full"));
        settings.setProperty("eureka.shouldFilterOnlyUpInstances", "false");

        var config = new MyDataCenterInstanceConfig() {
            @Override
            public String getIpAddress() {
                return "127.0.0.1";
            }

            @Override
            public String getHostName(boolean refresh) {
                return "127.0.0.1";
            }
        };
        InstanceInfo info = new EurekaConfigBasedInstanceInfoProvider(config).get();
        var manager = new ApplicationInfoManager(config, info);
        var client = new DiscoveryClient(manager, new DefaultEurekaClientConfig());
        manager.setInstanceStatus(InstanceStatus.UP);

        var printer = new Thread(() -> print(client, args[1]));
        printer.setDaemon(true);
        printer.start();

        var commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = commands.readLine()) != null && !line.equals("stop"); ) {
            if (line.startsWith("status ")) {
                manager.setInstanceStatus(InstanceStatus.valueOf(line.substring("status ".length())));
            }
        }
        client.shutdown();
        System.out.println("{\"stopped\":true}");
        System.exit(0);
    }

    /** print says what the client holds: every instance, and those of the application's virtual address. */
    private static void print(DiscoveryClient client, String vip) {
        String last = "";
        while (true) {
            var all = new TreeSet<String>();
            for (Application application : client.getApplications().getRegisteredApplications()) {
                for (InstanceInfo i : application.getInstancesAsIsFromEureka()) {
                    all.add('"' + application.getName() + "/" + i.getId() + " " + i.getStatus() + " " + i.getIPAddr() + ":" + i.getPort() + " "
                            + i.getMetadata().getOrDefault("owner", "-") + " " + i.getVIPAddress() + '"');
                }
            }
            var byAddress = new TreeSet<String>();
            for (InstanceInfo i : client.getInstancesByVipAddress(vip, false)) {
                byAddress.add('"' + i.getId() + '"');
            }
            String now = "{\"holds\":[" + String.join(",", all) + "],\"vip\":[" + String.join(",", byAddress) + "],\"hash\":\""
                    + client.getApplications().getReconcileHashCode() + "\"}";
            if (!now.equals(last)) {
                System.out.println(now);
                last = now;
            }
            try {
                Thread.sleep(100);
            } catch (InterruptedException e) {
                return;
            }
        }
    }
}
