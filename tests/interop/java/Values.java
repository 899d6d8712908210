import com.orientechnologies.orient.core.db.record.OIdentifiable;
import com.orientechnologies.orient.core.db.record.ridbag.ORidBag;
import com.orientechnologies.orient.core.id.ORID;
import com.orientechnologies.orient.core.record.OElement;
import com.orientechnologies.orient.core.record.impl.ODocument;
import com.orientechnologies.orient.core.sql.executor.OResult;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Values of the engine as JSON that keeps their types: {"type": ..., "value": ...}. */
final class Values {
  private Values() {}

  /** A row: its fields in their order, and what it is where it is a record. */
  static Map<String, Object> row(OResult result) {
    Map<String, Object> row = new LinkedHashMap<>();
    result.getIdentity().ifPresent(rid -> row.put("rid", rid.toString()));
    result
        .getElement()
        .ifPresent(
            element -> {
              row.put("version", element.getVersion());
              element.getSchemaType().ifPresent(type -> row.put("class", type.getName()));
            });
    Map<String, Object> fields = new LinkedHashMap<>();
    for (String name : result.getPropertyNames()) {
      fields.put(name, typed(result.getProperty(name)));
    }
    row.put("fields", fields);
    return row;
  }

  static Object typed(Object value) {
    Map<String, Object> typed = new LinkedHashMap<>();
    typed.put("type", type(value));
    typed.put("value", plain(value));
    return typed;
  }

  private static String type(Object value) {
    if (value == null) return "NULL";
    if (value instanceof Boolean) return "BOOLEAN";
    if (value instanceof Byte) return "BYTE";
    if (value instanceof Short) return "SHORT";
    if (value instanceof Integer) return "INTEGER";
    if (value instanceof Long) return "LONG";
    if (value instanceof Float) return "FLOAT";
    if (value instanceof Double) return "DOUBLE";
    if (value instanceof BigDecimal) return "DECIMAL";
    if (value instanceof Date) return "DATETIME";
    if (value instanceof byte[]) return "BINARY";
    if (value instanceof CharSequence) return "STRING";
    if (value instanceof ORidBag) return "LINKBAG";
    if (value instanceof ORID) return "LINK";
    if (value instanceof OIdentifiable) {
      return ((OIdentifiable) value).getIdentity().isValid() ? "LINK" : "EMBEDDED";
    }
    if (value instanceof OResult) return ((OResult) value).isElement() ? "LINK" : "ROW";
    if (value instanceof Set) return "SET";
    if (value instanceof Collection || value instanceof Object[]) return "LIST";
    if (value instanceof Map) return "MAP";
    return value.getClass().getName();
  }

  private static Object plain(Object value) {
    if (value == null || value instanceof Boolean) return value;
    if (value instanceof Float || value instanceof Double || value instanceof BigDecimal) return value.toString();
    if (value instanceof Number || value instanceof CharSequence) return value;
    if (value instanceof Date) return ((Date) value).getTime();
    if (value instanceof byte[]) return Base64.getEncoder().encodeToString((byte[]) value);
    if (value instanceof ORidBag) {
      List<String> links = new ArrayList<>();
      ((ORidBag) value).forEach(one -> links.add(one.getIdentity().toString()));
      return links;
    }
    if (value instanceof OIdentifiable && ((OIdentifiable) value).getIdentity().isValid()) {
      return ((OIdentifiable) value).getIdentity().toString();
    }
    if (value instanceof ODocument) {
      OElement element = (OElement) value;
      Map<String, Object> embedded = new LinkedHashMap<>();
      element.getSchemaType().ifPresent(type -> embedded.put("@class", type.getName()));
      for (String name : element.getPropertyNames()) {
        embedded.put(name, typed(element.getProperty(name)));
      }
      return embedded;
    }
    if (value instanceof OResult) return row((OResult) value);
    if (value instanceof Object[]) return items(List.of((Object[]) value));
    if (value instanceof Collection) return items((Collection<?>) value);
    if (value instanceof Map) {
      Map<String, Object> map = new LinkedHashMap<>();
      ((Map<?, ?>) value).forEach((key, item) -> map.put(String.valueOf(key), typed(item)));
      return map;
    }
    return value.toString();
  }

  private static List<Object> items(Iterable<?> values) {
    List<Object> items = new ArrayList<>();
    values.forEach(one -> items.add(typed(one)));
    return items;
  }
}
