import java.util.Arrays;
import java.util.List;
import org.cometd.bayeux.server.BayeuxServer;
import org.cometd.server.CometDServlet;
import org.cometd.server.ext.AcknowledgedMessagesExtension;
import org.cometd.server.http.AsyncJSONTransport;
import org.cometd.server.websocket.jetty.JettyWebSocketTransport;
import org.eclipse.jetty.server.AbstractConnectionFactory;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.SecureRequestCustomizer;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;
import org.eclipse.jetty.util.ssl.SslContextFactory;
import org.eclipse.jetty.websocket.server.config.JettyWebSocketServletContainerInitializer;

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

        ServletContextHandler context = new ServletContextHandler(server, "/");
        JettyWebSocketServletContainerInitializer.configure(context, null);
        ServletHolder servlet = new ServletHolder(CometDServlet.class);
        servlet.setInitParameter("timeout", "60000");
        servlet.setInitParameter("maxInterval", "60000");
        servlet.setInitParameter("maxSessionsPerBrowser", "-1");
        servlet.setInitParameter(
            "transports", JettyWebSocketTransport.class.getName() + "," + AsyncJSONTransport.class.getName());
        servlet.setInitParameter("ws.cometdURLMapping", "/cometd/*");
        servlet.setInitParameter("ws.idleTimeout", "120000");
        servlet.setInitOrder(1);
        servlet.setAsyncSupported(true);
        context.addServlet(servlet, "/cometd/*");
        server.start();
        if (rest.contains("ack")) {
            BayeuxServer bayeux = (BayeuxServer) context.getServletContext().getAttribute(BayeuxServer.ATTRIBUTE);
            bayeux.addExtension(new AcknowledgedMessagesExtension());
        }
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
            connector = new ServerConnector(server, 1, 1, AbstractConnectionFactory.getFactories(tls, plain));
        }
        connector.setHost("127.0.0.1");
        connector.setPort(port);
        connector.setAcceptQueueSize(1024);
        connector.setIdleTimeout(120000);
        return connector;
    }
}
