-- Run against `world` by the real engine and by this console; both must give the same rows. Where rows have no ORDER BY they
-- may come in any order. Record ids of new records differ, so queries after changes ask for their fields.

-- sources
select from Country where iso = 'IT';
select name from #17:54;
select name from [#17:54, #17:1];
select name from cluster:country_1 where iso < 'B';
select name from cluster:16 where iso < 'B';
select from index:Country.iso where key = 'IT';
select count(*) from index:Country.iso;
select name from (select name, population from Country order by population desc limit 3) where name like 'I%';
select 1 as one, 'two' as two, null as three, true as four;

-- comparisons
select name from City where name = 'Rome';
select iso from Country where iso >= 'Z' or iso <= 'AE';
select name from Country where population > 100000000 and not (name like '%a%');
select name from Country where population > '60000000' and population < '61000000';
select iso from Country where population > 'abc';
select count(*) from Country where name > 5;
select name from Country where name = 'italy';
select name from Country where iso <> 'IT' and iso != 'FR' and iso < 'AG';
select iso from Country where nosuch <> 3 and iso < 'B';
select iso from Country where nosuch = null;
select iso from Country where areakm2 = 301230;
select iso from Country where areakm2 = 301230.0;
select iso from Country where areakm2 in [468, 301230];
select iso from Country where areakm2 > 9000000.5;
select name from Airport where elevation = 2.0;
select count(*) from City where at.lat = 42.50729;
select name from City where at.lat = 42.50729d;
select name from City where at.lat < -53 or at.lat > 70;
select name from Country where population between 60000000 and 61000000;
select name from Country where iso in ['IT', 'FR', 'XX'];
select count(*) from Country where iso not in ['IT', 'FR'];
select name from Country where name like 'ITAL%';
select name from Country where name like 'It?ly' or name like '%land';
select name from Country where name like 'It_ly';
select count(*) from Airport where name like '%(%)%';
select name from Country where iso matches 'I.';
select count(*) from Country where capital is null;
select count(*) from Country where capital is not null and nosuch is null;
select count(*) from Country where nosuch is defined or capital is not defined;
select count(*) from Airport where listed = '2017-09-10';
select count(*) from Airport where listed > '2017-09-10';
select count(*) from Airport where checked > '2024-01-11 20:00:00';
select name from OUser where name = 'ADMIN';
select name from OUser where name like 'ADM%';
select count(*) from Place where @class = 'Country';
select count(*) from Place where @this instanceof 'City';

-- collections and maps
select name from Country where languages contains 'it';
select name from Country where languages contains 'it' and languages contains 'es';
select name from Country where languages containsall ['it', 'es'];
select name from Country where languages containsany ['it', 'sc'];
select name from Country where languages contains ['it', 'es'];
select name from City where alternatenames contains 'Roma';
select count(*) from Country where names containskey 'phone';
select name from Country where names containsvalue 'Euro';
select name from Country where names.currency = 'Euro' and names['phone'] > '4';
select name from Country where name containstext 'tal';
select name from Country where neighbours contains (name = 'Italy');
select name from Country where neighbours contains #17:54;
select name from Country where neighbours.name contains 'Italy';
select alternatenames[0] as first, alternatenames.size() as size from City where name = 'Rome';
select neighbours[name = 'France'].name as found from Country where iso = 'IT';

-- links
select name, country.iso from City where name = 'Rome';
select neighbours.nosuch as a, neighbours.capital as b, neighbours.capital.name as c from Country where iso = 'AR';
select name from City where country.name = 'Vatican';
select count(*) from Country where capital.country.capital.name = 'Paris';
select name from City where @rid in (select capital from Country where iso < 'B');
select name from City where country in (select from Country where iso = 'VA');
select name, capital.name as capital, capital.at.lat as lat from Country where iso < 'B';
select out('LocatedIn').size() as size, in().size() as size2 from Country where iso = 'IT';
select expand(neighbours) from Country where iso = 'IT';
select out.name as city, in.iso as country from LocatedIn where out.name = 'Rome';

-- order, skip, limit
select name from Country order by name;
-- (OrientDB takes the order of an index where there is one, which is not that of its collator: no index here)
select name from Airport order by name desc;
select name from Airport order by name skip 100 limit 500;
select name from Country order by capital.name, name desc limit 60;
select name, population from Country order by population desc, name skip 2 limit 7;
select name.length() as length, name from Country order by length desc, name limit 3;
select timezone as zone, population from City order by zone, population desc, name limit 40;
select name from Country order by nosuch, iso desc limit 3;

-- aggregates
select count(*) from City;
select count(*) as c from City where name = 'nowhere';
select count(capital), count(nosuch) from Country;
select max(population), min(population), sum(population), avg(population) from Country;
select sum(areakm2), avg(areakm2), min(areakm2) from Country;
select max(population) from City where name = 'nowhere';
select max(elevation), min(at.lat) from Airport;
select count(*) as c, country.iso as iso from City group by country.iso order by c desc, iso limit 20;
select @class as class, count(*) from Place group by @class order by class;
select iso.left(1) as letter, count(*) as c, max(population) as m from Country group by letter order by letter;
select sum(population) as s, country.name as n from City where country.iso < 'C' group by country order by s desc;
select distinct timezone from City where country.iso = 'US';

-- computing
select population * 2 as a, population / 2 as b, population + 0.5 as c, areakm2 / 7 as d, areakm2 * 1.5 as e from Country where iso = 'IT';
select 2147483647 + 1 as a, 2147483647 * 2 as b, 7 / 2 as c, 8 / 2 as d, 7 % 3 as e, 1.5 + 1 as f, 10 / 4.0 as g, 3000000000 as h;
select name + 1 as a, name + '-' + iso as b, nosuch + 1 as c, nosuch * 2 as d, nosuch - 1 as e from Country where iso = 'IT';
select coalesce(nosuch, name) as a, ifnull(nosuch, 3) as b, name.toUpperCase() as c, name.toLowerCase().substring(1, 3) as d, name.indexOf('a') as e, name.charAt(0) as f, name.right(2) as g, name.replace('a', 'b') as h, population.asString() as i from Country where iso < 'B';

-- schema
create class Club extends V;
create property Club.name string (mandatory true);
create property Club.founded integer;
create property Club.members long;
create property Club.colours embeddedset string;
create property Club.at embedded;
create property Club.tags linkset;
create class Friends extends E;
create class Rivals extends Friends;
create index Club.name UNIQUE;

-- changes
insert into Club set name = 'Roma', founded = '1927', members = 7, colours = ['red', 'yellow'], at = {"lat": 41.9, "lon": 12.5};
insert into Club (name, founded) values ('Lazio', 1900), ('Juve', 1897.9);
insert into Club content {"name": "Milan", "extra": [1, "two", null], "map": {"a": {"b": 1}}, "ratio": 1.5};
create vertex Club set name = 'Inter', members = 12;
create vertex Club content {"name": "Napoli", "colours": ["azure", "azure"]};
select name, founded, members, colours, at, extra, map, ratio from Club;
select name from Club where at.lat > 40 or map.a.b = 1;
update Club set founded = founded + 1, note = 'changed', members += 3 where founded > 1898;
update Club set map.a = 5, map['c'] = 6, extra[1] = 'zwei' where name = 'Milan';
update Club remove note where name = 'Lazio';
update Club remove colours = 'red' where name = 'Roma';
update Club merge {"city": "Rome", "members": 99} where name in ['Roma', 'Lazio'];
update Club set city = null where name = 'nobody';
select name, founded, members, colours, extra, map, note, city from Club;
select note.size() as size, count(*) as c from Club where note is defined group by note;
create edge Friends from (select from Club where name = 'Roma') to (select from Club where name = 'Napoli') set since = 1980;
create edge Rivals from (select from Club where name = 'Roma') to (select from Club where name = 'Lazio');
create edge Rivals from (select from Club where name in ['Roma', 'Inter']) to (select from Club where name = 'Juve');
create edge Rivals from (select from Club where name = 'Inter') to (select from Club where name = 'Milan');
select name, out().name as all, out('Friends').name as friends, out('Rivals').name as rivals, in().name as back from Club;
select name, both('Rivals').size() as size, outE('Friends').since as since, inE().size() as edges from Club;
select since, out.name as one, in.name as other, @class as class from Friends;
select expand(out('Rivals')) from Club where name = 'Nobody';
delete edge Rivals from (select from Club where name = 'Roma') to (select from Club where name = 'Juve');
delete edge Friends where since = 1980;
select name, out().name as all, in().name as back from Club;
delete vertex Club where name = 'Lazio';
select name, out().name as all, in().name as back from Club;
select count(*) from Friends;
update Club content {"name": "AC Milan"} where name = 'Milan';
select name, extra, in('Rivals').name as rivals from Club where name like '%Milan';
delete from Friends unsafe;
delete from Club where name = 'Juve' unsafe;
select name from Club order by name;

-- the schema again
alter property Club.founded mandatory false;
alter class Club strictmode false;
drop index Club.name;
drop property Club.at;
create cluster spare;
drop cluster spare;
truncate class Club unsafe;
select count(*) from Club;
drop class Rivals unsafe;
drop class Friends unsafe;
drop class Club unsafe;
