-- The sample store: an invented shop with 200 customers, their orders and newsletters. All people in it are invented.
CREATE TABLE customer (
    customer_id text    PRIMARY KEY,
    email       text    NOT NULL,
    name        text    NOT NULL,
    city        text,
    country     text,
    contract    text    NOT NULL CHECK (contract IN ('active', 'ended', 'none')),
    since       date    NOT NULL,
    restricted  boolean NOT NULL DEFAULT false -- the shop uses no row that is restricted (Art. 18)
);
CREATE UNIQUE INDEX ON customer (lower(email));

CREATE TABLE customer_order (
    order_id    integer       GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id text          NOT NULL REFERENCES customer,
    article     text          NOT NULL,
    price       numeric(8, 2) NOT NULL,
    ordered_on  date          NOT NULL,
    restricted  boolean       NOT NULL DEFAULT false
);
CREATE INDEX ON customer_order (customer_id);

CREATE TABLE newsletter (
    customer_id text    NOT NULL REFERENCES customer,
    email       text    NOT NULL,
    topic       text    NOT NULL,
    since       date    NOT NULL,
    sent        boolean NOT NULL DEFAULT true,
    restricted  boolean NOT NULL DEFAULT false,
    PRIMARY KEY (customer_id, topic)
);
CREATE INDEX ON newsletter (lower(email));

-- Ada, Ben and Chloe are the ones to try; every fifth customer has an active contract, which an erasure leaves alone.
WITH words AS (
    SELECT ARRAY ['Ada', 'Ben', 'Chloe', 'David', 'Elena', 'Felix', 'Greta', 'Hugo', 'Ines', 'Jonas',
                  'Karla', 'Louis', 'Marta', 'Nils', 'Olga', 'Paul', 'Rosa', 'Simon', 'Tessa', 'Victor'] AS first,
           ARRAY ['Keller', 'Martin', 'Garcia', 'Smith', 'Rossi', 'Novak', 'Jensen', 'Silva', 'Weber', 'Dubois'] AS last,
           ARRAY ['Berlin', 'Lyon', 'Sevilla', 'Dublin', 'Torino', 'Praha', 'Aarhus', 'Porto', 'Wien', 'Lille'] AS city,
           ARRAY ['DE', 'FR', 'ES', 'IE', 'IT', 'CZ', 'DK', 'PT', 'AT', 'FR'] AS country
)
INSERT INTO customer (customer_id, email, name, city, country, contract, since)
SELECT 'C' || 1000 + n,
       CASE WHEN n < 20 THEN lower(first[1 + n]) ELSE lower(first[1 + n % 20] || '.' || last[1 + n / 20]) END || '@example.org',
       first[1 + n % 20] || ' ' || last[1 + n / 20],
       city[1 + n / 20], country[1 + n / 20],
       CASE n % 5 WHEN 4 THEN 'active' WHEN 3 THEN 'ended' ELSE 'none' END,
       current_date - 100 - 11 * n
FROM generate_series(0, 199) AS n, words;

INSERT INTO customer_order (customer_id, article, price, ordered_on)
SELECT customer_id,
       (ARRAY ['a headset', 'a desk phone', 'a router', 'a month of telephony', 'a phone number'])[1 + (n + length(name)) % 5],
       9.90 + 10 * (length(name) * n % 9),
       since + 20 * n
FROM customer, generate_series(1, 4) AS n
WHERE n <= 1 + length(name) % 4;

INSERT INTO newsletter (customer_id, email, topic, since)
SELECT customer_id, email, topic, since + 5
FROM customer, unnest(ARRAY ['offers', 'product news']) AS topic
WHERE contract <> 'none' OR topic = 'offers';

GRANT SELECT, UPDATE, DELETE ON customer, customer_order, newsletter TO dsr_shop;
