import pytest

from builders import COUNTY, OTHER_COUNTY, a_uscc
from energy_office import (
    FIRST,
    Claims,
    Office,
    a_batch,
    a_reader,
    a_shutdown,
    an_assignment,
    an_officer,
    enterprise,
)

COUNTY_OFFICER = a_reader("county_officer", region_code=COUNTY)
OTHER_OFFICER = a_reader("county_officer", region_code=OTHER_COUNTY)
OWNER = a_reader("enterprise", uscc=a_uscc(1), region_code=COUNTY)
CITYWIDE = [FIRST, a_reader("supervisor"), a_reader("auditor"), an_officer(department="finance")]
BOTH_COUNTIES = [
    an_assignment(1),
    an_assignment(2, region_code=OTHER_COUNTY, quantity_tce="250.5"),
]
ALL = [
    f"county:{COUNTY}",
    enterprise(1),
    enterprise(2),
    "city:370500",
    "issuance:ENERGY",
    "pool:370500",
]


@pytest.fixture
async def books(office: Office) -> Office:
    """A pool with two projects of two counties, and a shutdown in one of them."""
    await office.fill_pool()
    await office.done("increment-batches", a_batch(*BOTH_COUNTIES))
    await office.done("shutdowns", a_shutdown())
    return office


async def listed(office: Office, who: Claims) -> list[str]:
    page = await office.told("accounts", who)
    assert page["total"] == len(page["items"])
    return [one["account"] for one in page["items"]]


@pytest.mark.parametrize("who", CITYWIDE, ids=lambda who: who["roles"][0])
async def test_the_city_s_officers_see_every_account(books: Office, who: Claims) -> None:
    assert sorted(await listed(books, who)) == sorted(ALL)


async def test_a_county_sees_its_own_region_s_accounts(books: Office) -> None:
    assert sorted(await listed(books, COUNTY_OFFICER)) == [f"county:{COUNTY}", enterprise(1)]
    assert await listed(books, OTHER_OFFICER) == [enterprise(2)]


async def test_an_enterprise_sees_its_own(books: Office) -> None:
    assert await listed(books, OWNER) == [enterprise(1)]
    assert await books.holding(enterprise(1)) == "1000.000"
    nobody = a_reader("enterprise", uscc="", region_code="370500")
    assert await listed(books, nobody) == []


@pytest.mark.parametrize("role", ["trading_center", "key_officer", "creditor", "county_system"])
async def test_others_see_no_account(books: Office, role: str) -> None:
    assert (await books.ask("accounts", a_reader(role))).status_code == 403
    assert (await books.ask("lots/any", a_reader(role))).status_code == 403


async def test_without_a_token_nobody_sees_an_account(books: Office) -> None:
    assert (await books.ask("accounts", None)).status_code == 401


@pytest.mark.parametrize("path", ["accounts/{}", "accounts/{}/lots"])
async def test_a_foreign_account_is_as_unknown_as_one_that_is_not_there(
    books: Office, path: str
) -> None:
    answers = [
        await books.ask(path.format(enterprise(2)), COUNTY_OFFICER),
        await books.ask(path.format(enterprise(2)), OWNER),
        await books.ask(path.format("province:370000"), COUNTY_OFFICER),
        await books.ask(path.format("nobody"), OWNER),
        await books.ask(path.format("nobody"), FIRST),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert {answer.json()["code"] for answer in answers} == {"ACCOUNT_UNKNOWN"}


async def test_an_account_says_what_it_holds_of_each_asset(books: Office) -> None:
    account = await books.told(f"accounts/{enterprise(2)}", OTHER_OFFICER)
    assert account == {
        "account": enterprise(2),
        "owner_kind": "ENTERPRISE",
        "region_code": OTHER_COUNTY,
        "uscc": a_uscc(2),
        "project_code": enterprise(2).rpartition(":")[2],
        "holdings": [
            {
                "asset": "ENERGY",
                "unit": "tce",
                "posted": "250.500",
                "held": "0.000",
                "pledged": "0.000",
                "available": "250.500",
            }
        ],
    }


async def test_a_lot_is_traced_back_to_the_shutdown_it_came_from(books: Office) -> None:
    page = await books.told(f"accounts/county:{COUNTY}/lots", COUNTY_OFFICER)
    (lot,) = page["items"]
    assert (lot["posted"], lot["unit"], lot["article"]) == ("40000.000", "tce", "art. 4")
    assert (lot["origin_kind"], lot["origin_region_code"]) == ("SHUTDOWN", COUNTY)
    assert (lot["document_no"], lot["effective_on"]) == (a_shutdown()["document_no"], "2022-05-20")
    assert (lot["is_dual_high_barred"], lot["needs_city_consent"]) == (True, True)


async def test_a_lot_is_traced_forward_to_all_who_hold_it(books: Office) -> None:
    (lot,) = (await books.told("accounts/pool:370500/lots"))["items"]
    traced = await books.told(f"lots/{lot['lot']}", a_reader("supervisor"))
    held = {one["account"]: (one["region_code"], one["posted"]) for one in traced["holders"]}
    assert held == {
        enterprise(1): (COUNTY, "1000.000"),
        enterprise(2): (OTHER_COUNTY, "250.500"),
        "pool:370500": ("370500", "778749.500"),
    }
    assert (traced["lot"]["article"], traced["lot"]["origin_kind"]) == ("art. 3", "ISSUE")


async def test_an_officer_of_a_county_traces_within_it_only(books: Office) -> None:
    (lot,) = (await books.told("accounts/pool:370500/lots"))["items"]
    within = an_officer(region_code=COUNTY)
    traced = await books.told(f"lots/{lot['lot']}", within)
    assert [one["account"] for one in traced["holders"]] == [enterprise(1)]
    (theirs,) = (await books.told("accounts/city:370500/lots"))["items"]
    foreign = await books.ask(f"lots/{theirs['lot']}", within)
    unknown = await books.ask("lots/nothing", within)
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json()["code"] == unknown.json()["code"] == "LOT_UNKNOWN"


async def test_pages_leave_nothing_out(books: Office) -> None:
    pages = [await books.told(f"accounts?page={n}&page_size=4") for n in (1, 2, 3)]
    assert [len(page["items"]) for page in pages] == [4, 2, 0]
    assert [one["account"] for page in pages for one in page["items"]] == sorted(ALL)
    assert {page["total"] for page in pages} == {6}
    assert (await books.ask("accounts?page_size=201")).status_code == 422
