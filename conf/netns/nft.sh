# Type nft: nftables rules, and the loopback device. kubens-netns(5)
#
# Loads nft-NAME.rules, else nft.rules, of /etc/conf.d/netns; else the rules as shipped, which drop all but loopback.
#
#   NFT_AUTO_SAVE=yes   write the rules as they are to nft-NAME.rules when it stops; kubensctl netns save does at any time

NO_CONFIG_REQUIRED=1

configure_nft_up_inside() {
    local rules
    for rules in "$NETNS_DIRECTORY/nft-$1.rules" "$NETNS_DIRECTORY/nft.rules" "$NETNS_LIBRARY/nft.rules"; do
        if [[ -e $rules ]]; then
            break
        fi
    done
    netns_log 6 "rules of $rules"
    # In one transaction: there is no moment without rules.
    nft -f - <<<"flush ruleset; include \"$rules\""
    : >"$NETNS_STATE/loaded"
    ip link set lo up
}

configure_nft_down_inside() {
    # Neither the rules of a start that failed, nor over what somebody has written since.
    if [[ ${NFT_AUTO_SAVE-} != yes || ! -e $NETNS_STATE/loaded ]]; then
        :
    elif [[ $NETNS_DIRECTORY/nft-$1.rules -nt $NETNS_STATE/loaded ]]; then
        netns_log 4 "$NETNS_DIRECTORY/nft-$1.rules is newer than the rules that were loaded: not saved"
    else
        netns_save
    fi
    nft flush ruleset
}
