import java.util.Arrays;
import java.util.List;
import org.cometd.bayeux.server.BayeuxServer;
import org.cometd.server.BayeuxServerImpl;
import org.cometd.server.ext.AcknowledgedMessagesExtension;
import org.cometd.server.http.JSONHttpTransport;
import org.cometd.server.http.jakarta.CometDServlet;
import org.cometd.server.websocket.jetty.JettyWebSocketTransport;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Context;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.SecureRequestCustomizer;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.util.ssl.SslContextFactory;
import org.eclipse.jetty.websocket.server.WebSocketUpgradeHandler;

/**
 * CometD on an embedded Jetty: long-polling by its servlet, websocket by Jetty's own.
 *
 * <p>Arguments: PORT [ack] [KEYSTORE.p12], whose password is "bench".  The URL is /cometd.
 */
public final class JettyPeer {
    private JettyPeer() {}

    public static void main(String[] words) throws Exception {
        List<String> rest = Arrays.asList(words).subList(1, words.length);
        Server server = new Server();
        server.addConnector(connector(server, Integer.parseInt(words[0]), rest));

        ServletContextHandler context = new ServletContextHandler("/");
        BayeuxServerImpl bayeux = new BayeuxServerImpl();
        bayeux.setOption("timeout", "60000");
        bayeux.setOption("maxInterval", "60000");
        bayeux.setOption("maxSessionsPerBrowser", "-1");
        bayeux.setOption("ws.cometdURLMapping", "/cometd/*");
        bayeux.setOption("ws.idleTimeout", "120000");
        bayeux.setOption(Context.class.getName(), context.getContext());
        bayeux.setTransports(new JettyWebSocketTransport(bayeux), new JSONHttpTransport(bayeux));
        if (rest.contains("ack")) {
            bayeux.addExtension(new AcknowledgedMessagesExtension());
        }
        context.setAttribute(BayeuxServer.ATTRIBUTE, bayeux);
        ServletHolder servlet = new ServletHolder(new CometDServlet());
        servlet.setAsyncSupported(true);
        context.addServlet(servlet, "/cometd/*");
        context.insertHandler(WebSocketUpgradeHandler.from(server, context));
        server.setHandler(context);
        context.addEventListener(new jakarta.servlet.ServletContextListener() {
            @Override
            public void contextInitialized(jakarta.servlet.ServletContextEvent event) {
                try {
                    bayeux.start();
                } catch (Exception problem) {
                    throw new IllegalStateException(problem);
                }
            }
        });
        server.start();
        System.out.println("ready");
        server.join();
    }

    private static ServerConnector connector(Server server, int port, List<String> rest) {
        HttpConfiguration http = new HttpConfiguration();
        HttpConnectionFactory plain = new HttpConnectionFactory(http);
        ServerConnector connector;
        String keystore = rest.stream().filter(word -> word.endsWith(".p12")).findFirst().orElse(null);
        if (keystore == null) {
            connector = new ServerConnector(server, 1, 1, plain);
        } else {
            SecureRequestCustomizer customizer = new SecureRequestCustomizer();
            customizer.setSniHostCheck(false);
            http.addCustomizer(customizer);
            SslContextFactory.Server tls = new SslContextFactory.Server();
            tls.setKeyStorePath(keystore);
            tls.setKeyStorePassword("bench");
            connector = new ServerConnector(server, 1, 1,
                org.eclipse.jetty.server.AbstractConnectionFactory.getFactories(tls, plain));
        }
        connector.setHost("127.0.0.1");
        connector.setPort(port);
        connector.setAcceptQueueSize(1024);
        connector.setIdleTimeout(120000);
        return connector;
    }
}
