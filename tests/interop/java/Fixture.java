import java.io.Serializable;

/** What the CUSTOM values of the exports of all types are: OrientDB reads such a value only where it has the class. */
final class Fixture {
  private Fixture() {}

  static final class Pojo implements Serializable {
    private static final long serialVersionUID = 1L;

    String a;
    int b;
  }
}
