/**
 * A schema that has a function, an operator or a type of the name of everything in pg_catalog, each of which fails or lies. With it
 * before pg_catalog in the search_path, a name of ours that is not qualified is found out.
 */

/**
 * Functions and operators of the same arguments; the same again for `text` where ours pass literals, which would be taken for the better
 * match; types that are domains which take nothing.
 */
export const HOSTILE_SCHEMA = `
create schema evil;
do $$
declare
  r record;
begin
  for r in
    select distinct p.proname, oidvectortypes(p.proargtypes) as args, format_type(p.prorettype, null) as returns, p.proretset
    from pg_proc p
    where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind in ('f', 'a', 'w')
      and not exists (
        select from unnest(p.proargtypes || p.prorettype) t(oid) join pg_type y on y.oid = t.oid
        where y.typtype = 'p' and y.typname not in ('anyelement', 'anyarray', 'void', 'record')
          or y.typname like 'any%' and p.prorettype not in (select a from unnest(p.proargtypes) a) and t.oid = p.prorettype and y.typtype = 'p'
      )
  loop
    begin
      execute format('create function evil.%I(%s) returns %s%s language plpgsql as %L', r.proname, r.args,
        case when r.proretset then 'setof ' else '' end, r.returns,
        format('begin raise exception %L; end', 'evil function ' || r.proname));
    exception when others then null;
    end;
  end loop;
  -- For these an aggregate or a polymorphic function of pg_catalog is the right one.
  execute $f$create or replace function evil.count() returns bigint language plpgsql as 'begin raise exception ''evil count''; end'$f$;
  execute $f$create or replace function evil.unnest(text[]) returns setof text language plpgsql as 'begin raise exception ''evil unnest''; end'$f$;
  for r in
    select o.oprname, o.oprleft::regtype as l, o.oprright::regtype as r, o.oprresult::regtype as result
    from pg_operator o
    where o.oprnamespace = 'pg_catalog'::regnamespace and o.oprleft <> 0 and o.oprright <> 0 and o.oprresult <> 0
  loop
    begin
      execute format('create or replace function evil.operates(%s, %s) returns %s language plpgsql as %L', r.l, r.r, r.result,
        'begin raise exception ''evil operator''; end');
      execute format('create operator evil.%s (leftarg = %s, rightarg = %s, procedure = evil.operates)', r.oprname, r.l, r.r);
    exception when others then null;
    end;
  end loop;
  for r in
    select t.typname from pg_type t where t.typnamespace = 'pg_catalog'::regnamespace and t.typtype = 'b' and t.typelem = 0
  loop
    execute format('create domain evil.%I as pg_catalog.int4 check (false)', r.typname);
  end loop;
  for r in
    select c.relname from pg_class c where c.relnamespace = 'pg_catalog'::regnamespace and c.relkind in ('r', 'v')
  loop
    execute format('create table evil.%I (evil pg_catalog.int4)', r.relname);
  end loop;
end $$;
grant usage on schema evil to public`;
