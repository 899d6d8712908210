import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.orientechnologies.orient.core.command.OCommandOutputListener;
import com.orientechnologies.orient.core.config.OGlobalConfiguration;
import com.orientechnologies.orient.core.db.ODatabaseDocumentInternal;
import com.orientechnologies.orient.core.db.ODatabaseType;
import com.orientechnologies.orient.core.db.OrientDB;
import com.orientechnologies.orient.core.db.OrientDBConfig;
import com.orientechnologies.orient.core.db.OrientDBInternal;
import com.orientechnologies.orient.core.db.tool.ODatabaseExport;
import com.orientechnologies.orient.core.db.tool.ODatabaseImport;
import com.orientechnologies.orient.core.sql.executor.OResultSet;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/**
 * Runs OrientDB's own code for the tests: one request a line of JSON on standard input, answers as lines of JSON on
 * standard output. A request is answered by lines with "row" or "said", and a last one with "done" or "error".
 *
 * <p>Whoever starts it sets the deadlines. What the engine says is bounded here: its importer can repeat one error for
 * ever.
 */
public final class Driver {
  private static final int SAID_CHARACTERS = 1 << 20;

  private final Gson gson = new GsonBuilder().serializeNulls().create();
  private final PrintStream answers;
  private final OrientDB orient;
  private final Map<String, ODatabaseDocumentInternal> sessions = new HashMap<>();

  private Driver(String directory, PrintStream answers) {
    this.answers = answers;
    this.orient =
        new OrientDB(
            "embedded:" + directory,
            OrientDBConfig.builder()
                .addConfig(OGlobalConfiguration.CREATE_DEFAULT_USERS, true)
                .build());
  }

  public static void main(String[] arguments) throws Exception {
    PrintStream answers = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    System.setOut(System.err);
    Driver driver = new Driver(arguments[0], answers);
    BufferedReader requests =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    driver.answer("done", OrientDB.class.getPackage().getImplementationVersion());
    for (String line = requests.readLine(); line != null; line = requests.readLine()) {
      driver.handle(JsonParser.parseString(line).getAsJsonObject());
    }
    // Threads of the engine must not keep the process; the databases are thrown away in any case.
    Runtime.getRuntime().halt(0);
  }

  private void answer(String key, Object value) {
    Map<String, Object> line = new HashMap<>();
    line.put(key, value == null ? "" : value);
    answers.println(gson.toJson(line));
    answers.flush();
  }

  private void handle(JsonObject request) {
    try {
      answer("done", run(request));
    } catch (Throwable error) {
      StringBuilder text = new StringBuilder();
      for (Throwable one = error; one != null && text.length() < 4_000; one = one.getCause()) {
        text.append(text.length() > 0 ? " <- " : "").append(one);
      }
      answer("error", text.toString());
    }
  }

  private Object run(JsonObject request) throws Exception {
    String name = request.get("database").getAsString();
    switch (request.get("do").getAsString()) {
      case "create":
        orient.create(name, ODatabaseType.valueOf(request.get("storage").getAsString()));
        return name;
      case "drop":
        ODatabaseDocumentInternal open = sessions.remove(name);
        if (open != null) {
          open.activateOnCurrentThread();
          open.close();
        }
        orient.drop(name);
        return name;
      case "import":
        return importFile(session(name), text(request, "file"), text(request, "options"));
      case "export":
        return exportFile(session(name), text(request, "file"), text(request, "options"));
      case "sql":
        return sql(session(name), text(request, "text"), request.get("rows").getAsLong());
      default:
        throw new IllegalArgumentException(request.toString());
    }
  }

  private static String text(JsonObject request, String key) {
    return request.get(key).getAsString();
  }

  /** A session without a user: an import may have removed all of them. */
  private ODatabaseDocumentInternal session(String name) {
    ODatabaseDocumentInternal session =
        sessions.computeIfAbsent(
            name, one -> (ODatabaseDocumentInternal) OrientDBInternal.extract(orient).openNoAuthorization(one));
    session.activateOnCurrentThread();
    return session;
  }

  private Object importFile(ODatabaseDocumentInternal session, String file, String options) throws Exception {
    ODatabaseImport engine = new ODatabaseImport(session, file, listener());
    engine.setOptions(options);
    engine.importDatabase();
    engine.close();
    return file;
  }

  private Object exportFile(ODatabaseDocumentInternal session, String file, String options) throws Exception {
    ODatabaseExport engine = new ODatabaseExport(session, file, listener());
    engine.setOptions(options);
    engine.exportDatabase();
    engine.close();
    return file;
  }

  private Object sql(ODatabaseDocumentInternal session, String text, long most) {
    long rows = 0;
    try (OResultSet found = session.command(text)) {
      while (found.hasNext()) {
        if (rows++ >= most) {
          throw new IllegalStateException("more than " + most + " rows");
        }
        answer("row", Values.row(found.next()));
      }
    }
    return rows;
  }

  private OCommandOutputListener listener() {
    return new OCommandOutputListener() {
      private long said;

      @Override
      public void onMessage(String text) {
        said += text.length();
        if (said > SAID_CHARACTERS) {
          // An Error, so that no handler of the engine goes on after it.
          throw new Error("the engine says too much; last: " + text);
        }
        answer("said", text);
      }
    };
  }
}
