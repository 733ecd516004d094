-- Deliveries that are stored and not judged yet. They are judged in the order of their positions, and gone with that.
CREATE TABLE backlog (
    position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery   text NOT NULL,
    connection text NOT NULL,
    trace      text NOT NULL  -- the span that took it (W3C traceparent)
);
