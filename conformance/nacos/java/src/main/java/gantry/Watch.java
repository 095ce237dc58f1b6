package gantry;

import com.alibaba.nacos.api.config.ConfigService;
import com.alibaba.nacos.api.naming.NamingService;

import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.concurrent.Executor;
import java.util.function.BiConsumer;

/** Watching by pattern, which clients of 3.x alone can: by reflection, so that the same source is compiled with both. */
final class Watch {
    private Watch() {
    }

    static String begin(NamingService naming, ConfigService config, String group, BiConsumer<String, String> told) throws Exception {
        begin(naming, "com.alibaba.nacos.api.naming.listener.FuzzyWatchEventWatcher", "watch*", group,
                event -> told.accept("services", event.getClass().getMethod("getChangeType").invoke(event) + " " + event.getClass().getMethod("getServiceName").invoke(event)));
        begin(config, "com.alibaba.nacos.api.config.listener.FuzzyWatchEventWatcher", "watch*", group,
                event -> told.accept("configs", event.getClass().getMethod("getChangedType").invoke(event) + " " + event.getClass().getMethod("getDataId").invoke(event)));
        return "";
    }

    private interface Told {
        void event(Object event) throws Exception;
    }

    private static void begin(Object service, String watcher, String name, String group, Told told) throws Exception {
        Class<?> type = Class.forName(watcher);
        Object listener = Proxy.newProxyInstance(Watch.class.getClassLoader(), new Class<?>[] {type}, (proxy, method, arguments) -> {
            switch (method.getName()) {
                case "onEvent":
                    told.event(arguments[0]);
                    return null;
                case "equals":
                    return proxy == arguments[0];
                case "hashCode":
                    return System.identityHashCode(proxy);
                case "toString":
                    return watcher;
                default:
                    return null;
            }
        });
        Method begin = service.getClass().getMethod("fuzzyWatch", String.class, String.class, type);
        begin.invoke(service, name, group, listener);
    }
}
